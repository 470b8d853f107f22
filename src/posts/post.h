// A post, as the platform gave it. Written as one JSON object a line; docs/formats/posts.md describes every field.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace starling {

struct Post {
  std::string id;                     // unique on the platform; required
  std::string author;                 // account id; may be empty
  int64_t time_s = 0;                 // UTC seconds since 1970; 0 when unknown
  std::string text;                   // UTF-8; required
  std::string language;               // ISO 639-1, "und" when unknown, empty when not yet detected
  std::string community;              // group, list or forum
  std::string reply_to, quote_of;     // ids of other posts, empty when none
  std::vector<std::string> hashtags;  // without '#', as written
  std::vector<std::string> mentions;  // without '@'
  std::vector<std::string> urls;
  int64_t likes = 0, reposts = 0, replies = 0;

  friend bool operator==(const Post&, const Post&) = default;
};

// One line of JSON without the newline; empty fields are left out.
std::string to_json_line(const Post& post);
// Throws DataError that names the field. Hashtags, mentions and URLs that the object does not give are read from the
// text. Ids may be numbers; counts below 0 are read as 0; fields that the schema does not know are ignored.
Post post_from_json(std::string_view json);
// The rules every post keeps, however it was read: an id and a text, valid UTF-8, no control characters in ids, ids of
// at most kMaxIdBytes, a time in the years 0 to 9999. Throws DataError that names the field.
inline constexpr size_t kMaxIdBytes = 512;
void check_post(const Post& post);

}  // namespace starling

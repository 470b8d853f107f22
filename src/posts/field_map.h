// From the fields of a foreign row (JSON object, CSV record) to a Post.
//   field=source            the post's field is read from `source`: a column, or a path into objects ("user.name"; over
//   a
//                           list, from each element: "entities.hashtags.text")
//   field=first+second      texts that are there, joined by an empty line
//   field==constant         the same value for every row
// A field without mapping is read from the source of its own name.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "posts/post.h"

namespace starling {

class FieldMap {
 public:
  // Throws ConfigError for an unknown field (naming the nearest), a missing '=' or an empty source.
  explicit FieldMap(const std::vector<std::string>& mappings = {});
  bool is_default() const { return is_default_; }  // no mappings were given

  // Gives the values of one source of the row: none when missing, several for a list.
  using Lookup = std::function<std::vector<std::string>(const std::string& source)>;
  // Throws DataError that names the field. With `derive_id`, a row without id gets the hash of author, time and text.
  Post read(const Lookup& lookup, bool derive_id) const;

 private:
  std::vector<std::string> values(const Lookup& lookup, const std::string& field) const;
  std::string text(const Lookup& lookup, const std::string& field) const;
  std::map<std::string, std::vector<std::string>> sources_;
  std::map<std::string, std::string> constants_;
  bool is_default_;
};

// The times that platforms write: those of parse_time(), seconds with a fraction, milliseconds (from 10^11 on), RFC
// 5322
// ("Thu, 22 Aug 2002 14:38:22 +0100"), Twitter ("Wed Aug 27 13:08:45 +0000 2008").
std::optional<int64_t> parse_post_time(std::string_view text);

}  // namespace starling

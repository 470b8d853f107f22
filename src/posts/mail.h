// Mail messages (RFC 5322, MIME RFC 2045 to 2047) as posts: one message a file, or an mbox of many.
//   id         Message-ID without angle brackets; without one, a hash of the message
//   author     "mail-" and 16 hex digits: HMAC-SHA-256 of the From address with a key of the workspace, never the
//   address time       Date text       Subject (left out of replies, where it repeats the parent's) and the first
//   text/plain part, else text/html as text reply_to   In-Reply-To, else the last of References community  List-Id,
//   else the local part of List-Post, X-BeenThere or Mailing-List
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "posts/byte_stream.h"
#include "posts/post.h"

namespace starling {

// Throws DataError when it has no From header or no text.
Post post_from_mail(std::string_view message, std::string_view author_key);
std::string mail_author(std::string_view address, std::string_view author_key);  // "mail-" and 16 hex digits
std::string with_at_signs(std::string_view text);  // "bob at example.org", as list archives write it, is an address

// The key of the pseudonyms, `author.key` in the posts folder; made at random, readable by its owner only.
std::string read_or_make_author_key(const std::filesystem::path& posts_folder);

// Splits an mbox at its "From sender date" lines; a stream without one is a single message.
class MailReader {
 public:
  struct Message {
    uint64_t line = 0;  // where it starts, from 1
    std::string raw;    // without the "From " line; at most max_bytes
    bool too_long = false;
  };
  MailReader(ByteStream& stream, size_t max_bytes) : lines_(stream, max_bytes), max_bytes_(max_bytes) {}
  bool next(Message& message);

 private:
  LineReader lines_;
  size_t max_bytes_;
  bool at_separator_ = false, finished_ = false;
  uint64_t next_line_ = 1;
};

// One header section: names in lower case, folded lines joined; a name may come several times.
struct MailHeaders {
  std::vector<std::pair<std::string, std::string>> fields;
  std::string_view get(std::string_view name) const;  // the first of that name, empty when there is none
};

// Reads headers from the front of `entity` and removes them and the empty line after them.
MailHeaders take_mail_headers(std::string_view& entity);
// "=?utf-8?q?caf=C3=A9?=" and the like, as UTF-8.
std::string decode_encoded_words(std::string_view text);
// The text of a MIME entity with its headers already taken: UTF-8, transfer encoding and charset undone.
std::string mime_text(const MailHeaders& headers, std::string_view body);

}  // namespace starling

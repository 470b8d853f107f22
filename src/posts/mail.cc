#include "posts/mail.h"

#include <re2/re2.h>

#include <algorithm>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "posts/entities.h"
#include "posts/mail_date.h"
#include "posts/text_clean.h"

namespace starling {
namespace {

// "From bob@example.org  Thu Aug 22 14:44:26 2002": the sender and a date, so that a sentence which starts with "From"
// does not cut a message in two. Archives of mailing lists write "bob at example.org".
bool is_separator(std::string_view line) {
  static const RE2 kSeparator(
      R"(From (?:\S+ at )?\S* *(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} +\d{1,2} \d\d:\d\d.*\d{4}.*)");
  return line.starts_with("From ") && RE2::FullMatch(re2::StringPiece(line.data(), line.size()), kSeparator);
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  return text;
}

// The last "<...>" of a header, else the header itself up to white space.
std::string in_brackets(std::string_view text, bool last) {
  const size_t open = last ? text.rfind('<') : text.find('<');
  if (open != std::string_view::npos) {
    const size_t close = std::min(text.find('>', open), text.size());
    return std::string(trim(text.substr(open + 1, close - open - 1)));
  }
  text = trim(text);
  return std::string(text.substr(0, std::min(text.find_first_of(" \t\r\n"), text.size())));
}

std::string address_of(std::string_view from) {
  return in_brackets(from.find('@') == std::string_view::npos ? with_at_signs(from) : std::string(from), true);
}

std::string message_id(std::string_view text, bool last) {
  std::string id = in_brackets(text, last).substr(0, kMaxIdBytes);
  std::erase_if(id,
                [](char c) { return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f; });
  return id;
}

std::string list_name(const MailHeaders& headers) {
  if (const auto id = headers.get("list-id"); !id.empty()) return message_id(id, true);
  for (const char* name : {"list-post", "x-beenthere", "mailing-list"}) {
    std::string address = in_brackets(headers.get(name), false);
    if (address == "list") address = in_brackets(headers.get(name).substr(4), false);  // "list name@host; contact ..."
    if (address.starts_with("mailto:")) address.erase(0, 7);
    if (const size_t at = address.find('@'); at != std::string::npos) return message_id(address.substr(0, at), false);
  }
  return {};
}

// Without "[list]" marks; empty for a reply, whose subject is its parent's.
std::string own_subject(std::string_view header) {
  static const RE2 kReply(R"((?i)\s*(?:\[[^\]]{1,40}\]\s*)*(?:re|aw|sv|antw)(?:\[\d+\])?\s*:.*)");
  static const RE2 kMark(R"(^\s*(?:\[[^\]]{1,40}\]\s*)+)");
  std::string subject(trim(decode_encoded_words(header)));
  if (RE2::FullMatch(subject, kReply)) return {};
  RE2::Replace(&subject, kMark, "");
  return subject;
}

}  // namespace

std::string_view MailHeaders::get(std::string_view name) const {
  for (const auto& [key, value] : fields)
    if (key == name) return value;
  return {};
}

MailHeaders take_mail_headers(std::string_view& entity) {
  MailHeaders headers;
  while (!entity.empty()) {
    const size_t end = std::min(entity.find('\n'), entity.size());
    std::string_view line = entity.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const size_t colon = line.find(':');
    const bool folded = line.starts_with(' ') || line.starts_with('\t');
    // A body that follows without the empty line begins at the first line that cannot be a header.
    if (!line.empty() && !folded &&
        (colon == std::string_view::npos || line.substr(0, colon).find(' ') != std::string_view::npos))
      break;
    entity.remove_prefix(std::min(end + 1, entity.size()));
    if (line.empty()) break;
    if (!folded) headers.fields.emplace_back(lower(line.substr(0, colon)), trim(line.substr(colon + 1)));
    else if (!headers.fields.empty()) headers.fields.back().second.append(" ").append(trim(line));
  }
  return headers;
}

bool MailReader::next(Message& message) {
  message = {next_line_, {}, false};
  bool any = at_separator_, blank = true;
  for (LineReader::Line line; !finished_;) {
    if (!lines_.next(line)) {
      finished_ = true;
      break;
    }
    next_line_ = line.number + 1;
    if (blank && is_separator(line.text)) {
      if (any) {
        at_separator_ = true;
        return true;
      }
      message.line = line.number;
    } else {
      const std::string_view text = line.text.starts_with(">From ") ? line.text.substr(1) : line.text;
      message.too_long = message.too_long || line.too_long || message.raw.size() + text.size() + 1 > max_bytes_;
      if (!message.too_long) message.raw.append(text).append("\n");
    }
    any = true;
    blank = line.text.empty();
  }
  at_separator_ = false;
  return any;
}

std::string with_at_signs(std::string_view text) {
  static const RE2 kAt(" at ");
  std::string addresses(text);
  RE2::GlobalReplace(&addresses, kAt, "@");
  return addresses;
}

std::string mail_author(std::string_view address, std::string_view author_key) {
  return "mail-" + hmac_sha256_hex(author_key, lower(address)).substr(0, 16);
}

Post post_from_mail(std::string_view message, std::string_view author_key) {
  std::string_view body = message;
  const MailHeaders headers = take_mail_headers(body);
  if (headers.get("from").empty()) throw DataError("a mail message needs a From header");
  Post post;
  post.id = message_id(headers.get("message-id"), false);
  if (post.id.empty()) post.id = "mail-" + sha256_hex(message).substr(0, 20);
  post.author = mail_author(address_of(headers.get("from")), author_key);
  post.time_s = parse_mail_date(headers.get("date")).value_or(0);
  post.reply_to = message_id(headers.get("in-reply-to"), false);
  // Old programs write a sentence into In-Reply-To; an id has an '@' and no space.
  if (post.reply_to.find('@') == std::string::npos) post.reply_to = message_id(headers.get("references"), true);
  post.community = list_name(headers);
  const std::string subject = own_subject(headers.get("subject"));
  post.text = std::string(trim(mime_text(headers, body)));
  if (!subject.empty()) post.text = post.text.empty() ? subject : subject + "\n\n" + post.text;
  Entities found = find_entities(decode_html_entities(post.text));
  post.hashtags = std::move(found.hashtags);
  post.mentions = std::move(found.mentions);
  post.urls = std::move(found.urls);
  check_post(post);
  return post;
}

std::string read_or_make_author_key(const std::filesystem::path& posts_folder) {
  const std::filesystem::path path = posts_folder / "author.key";
  if (!std::filesystem::exists(path)) {
    write_file_atomic(path, random_hex(32) + "\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  }
  std::string key = read_file(path);
  while (key.ends_with('\n')) key.pop_back();
  if (key.size() != 64)
    throw DataError(path.string() +
                    ": not a key of 64 hex digits; restore it, or remove it to give mail authors new pseudonyms");
  return key;
}

}  // namespace starling

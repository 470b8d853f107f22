#include "posts/field_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/config.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/time.h"
#include "posts/entities.h"
#include "posts/language.h"
#include "posts/mail_date.h"
#include "posts/text_clean.h"

namespace starling {
namespace {

const std::vector<std::string> kFields = {"id",        "author",   "time",     "text",     "language",
                                          "community", "reply_to", "quote_of", "hashtags", "mentions",
                                          "urls",      "likes",    "reposts",  "replies"};

std::vector<std::string> split_on(std::string_view text, std::string_view separators) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(separators), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

// A separator within a URL is its own: another one begins with its scheme.
std::vector<std::string> split_urls(std::string_view text) {
  std::vector<std::string> urls;
  for (const std::string& word : split_on(text, " \t\n")) {
    size_t begin = 0;
    for (size_t i = word.find_first_of(",;|"); i != std::string::npos; i = word.find_first_of(",;|", i + 1)) {
      const bool ends = i + 1 == word.size() || word.compare(i + 1, 4, "http") == 0;
      if (!ends) continue;
      if (i > begin) urls.push_back(word.substr(begin, i - begin));
      begin = i + 1;
    }
    if (begin < word.size()) urls.push_back(word.substr(begin));
  }
  return urls;
}

std::string without_sign(std::string word, char sign) {
  if (word.starts_with(sign)) word.erase(0, 1);
  return word;
}

int64_t read_count(const std::string& text, const std::string& field) {
  if (text.empty()) return 0;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || *end != '\0' || !std::isfinite(value) || std::abs(value) > 9e15)
    throw DataError(fmt::format("field `{}` is \"{}\", not a number", field, text.substr(0, 40)));
  return std::max<int64_t>(static_cast<int64_t>(value), 0);
}

int64_t read_time(const std::string& text) {
  if (text.empty() || text == "unknown") return 0;
  const auto time = parse_post_time(text);
  if (!time)
    throw DataError(fmt::format("field `time` is \"{}\", not a time such as 2017-03-01T12:00:00Z", text.substr(0, 40)));
  return *time;
}

}  // namespace

std::optional<int64_t> parse_post_time(std::string_view text) {
  constexpr int64_t kFirstMilliseconds = 100'000'000'000;  // in seconds, the year 5138
  if (const auto time = parse_time(text)) return *time >= kFirstMilliseconds ? *time / 1000 : *time;
  const std::string copy(text);
  char* end = nullptr;
  const double seconds = std::strtod(copy.c_str(), &end);
  if (end != copy.c_str() && *end == '\0' && std::abs(seconds) < 1e11) return static_cast<int64_t>(std::floor(seconds));
  return parse_mail_date(text);
}

FieldMap::FieldMap(const std::vector<std::string>& mappings) : is_default_(mappings.empty()) {
  for (const std::string& field : kFields) sources_[field] = {field};
  for (const std::string& mapping : mappings) {
    const size_t equals = mapping.find('=');
    const std::string field = mapping.substr(0, equals);
    if (equals == std::string::npos || equals + 1 == mapping.size())
      throw ConfigError(fmt::format("--map {}: write field=source, for example text=content", mapping));
    if (std::find(kFields.begin(), kFields.end(), field) == kFields.end())
      throw ConfigError(fmt::format("--map {}: a post has no field `{}`; did you mean `{}`?", mapping, field,
                                    nearest_word(field, kFields)));
    if (mapping[equals + 1] == '=') constants_[field] = mapping.substr(equals + 2);
    else sources_[field] = split_on(mapping.substr(equals + 1), "+");
  }
}

std::vector<std::string> FieldMap::values(const Lookup& lookup, const std::string& field) const {
  if (const auto constant = constants_.find(field); constant != constants_.end()) return {constant->second};
  std::vector<std::string> found;
  for (const std::string& source : sources_.at(field))
    for (std::string& value : lookup(source))
      if (!value.empty()) found.push_back(std::move(value));
  return found;
}

std::string FieldMap::text(const Lookup& lookup, const std::string& field) const {
  std::string joined;
  for (const std::string& value : values(lookup, field)) joined += (joined.empty() ? "" : "\n\n") + value;
  return joined;
}

Post FieldMap::read(const Lookup& lookup, bool derive_id) const {
  Post post;
  post.id = text(lookup, "id");
  post.author = text(lookup, "author");
  post.time_s = read_time(text(lookup, "time"));
  post.text = text(lookup, "text");
  post.language = language_code(text(lookup, "language"));
  post.community = text(lookup, "community");
  post.reply_to = text(lookup, "reply_to");
  post.quote_of = text(lookup, "quote_of");
  post.likes = read_count(text(lookup, "likes"), "likes");
  post.reposts = read_count(text(lookup, "reposts"), "reposts");
  post.replies = read_count(text(lookup, "replies"), "replies");
  Entities found = find_entities(decode_html_entities(post.text));
  const auto words = [&](const char* field, char sign, std::vector<std::string> from_text) {
    std::vector<std::string> items;
    for (const std::string& value : values(lookup, field))
      for (const std::string& word : split_on(value, " ,;|\t\n")) items.push_back(without_sign(word, sign));
    return items.empty() ? from_text : items;
  };
  post.hashtags = words("hashtags", '#', std::move(found.hashtags));
  post.mentions = words("mentions", '@', std::move(found.mentions));
  for (const std::string& value : values(lookup, "urls"))
    for (std::string& url : split_urls(value)) post.urls.push_back(std::move(url));
  if (post.urls.empty()) post.urls = std::move(found.urls);
  if (post.id.empty() && derive_id && !post.text.empty())
    post.id = sha256_hex(post.author + "\n" + std::to_string(post.time_s) + "\n" + post.text).substr(0, 20);
  check_post(post);
  return post;
}

}  // namespace starling

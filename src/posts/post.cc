#include "posts/post.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>

#include "core/error.h"
#include "core/time.h"
#include "posts/entities.h"
#include "posts/json_text.h"
#include "posts/text_clean.h"

namespace starling {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

void append_text(std::string& json, const char* name, const std::string& value) {
  if (value.empty()) return;
  json += fmt::format(",\"{}\":", name);
  append_json_string(json, value);
}

void append_list(std::string& json, const char* name, const std::vector<std::string>& values) {
  if (values.empty()) return;
  json += fmt::format(",\"{}\":[", name);
  for (size_t i = 0; i < values.size(); ++i) {
    if (i > 0) json += ',';
    append_json_string(json, values[i]);
  }
  json += ']';
}

void append_count(std::string& json, const char* name, int64_t value) {
  if (value != 0) json += fmt::format(",\"{}\":{}", name, value);
}

DataError wrong_type(const char* name, const char* wanted) {
  return DataError(fmt::format("field `{}` must be {}", name, wanted));
}

// False when the field is missing or null.
bool find(const object& post, const char* name, element& value) {
  return post[name].get(value) == simdjson::SUCCESS && !value.is_null();
}

std::string text_field(const object& post, const char* name) {
  element value;
  std::string_view text;
  if (!find(post, name, value)) return {};
  if (value.get(text) != simdjson::SUCCESS) throw wrong_type(name, "a string");
  return std::string(text);
}

std::string id_field(const object& post, const char* name) {
  element value;
  if (find(post, name, value) && (value.is_int64() || value.is_uint64())) return simdjson::to_string(value);
  return text_field(post, name);
}

int64_t time_field(const object& post) {
  element value;
  int64_t seconds = 0;
  if (!find(post, "time", value)) return 0;
  if (value.get(seconds) == simdjson::SUCCESS) return seconds;
  const std::string text = text_field(post, "time");
  const auto time = parse_time(text);
  if (!time)
    throw DataError(fmt::format("field `time` is \"{}\", not a time such as 2017-03-01T12:00:00Z", text.substr(0, 40)));
  return *time;
}

int64_t count_field(const object& post, const char* name) {
  element value;
  int64_t count = 0;
  if (!find(post, name, value)) return 0;
  if (value.get(count) != simdjson::SUCCESS) throw wrong_type(name, "a whole number");
  return std::max<int64_t>(count, 0);
}

bool list_field(const object& post, const char* name, std::vector<std::string>& values) {
  element value;
  simdjson::dom::array list;
  if (!find(post, name, value)) return false;
  if (value.get(list) != simdjson::SUCCESS) throw wrong_type(name, "a list of strings");
  for (const element item : list) {
    std::string_view text;
    if (item.get(text) != simdjson::SUCCESS) throw wrong_type(name, "a list of strings");
    values.emplace_back(text);
  }
  return true;
}

void read_entities(const object& json, Post& post) {
  Entities found = find_entities(decode_html_entities(post.text));
  if (!list_field(json, "hashtags", post.hashtags)) post.hashtags = std::move(found.hashtags);
  if (!list_field(json, "mentions", post.mentions)) post.mentions = std::move(found.mentions);
  if (!list_field(json, "urls", post.urls)) post.urls = std::move(found.urls);
}

bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// The years 0 to 9999: format_time() writes no other so that parse_time() reads it.
constexpr int64_t kFirstTime_s = -62'167'219'200, kLastTime_s = 253'402'300'799;

void check_id(const std::string& id, const char* name) {
  if (id.size() > kMaxIdBytes)
    throw DataError(fmt::format("field `{}` has {} bytes, more than {}", name, id.size(), kMaxIdBytes));
  if (has_control_character(id)) throw DataError(fmt::format("field `{}` has a control character", name));
}

}  // namespace

void append_json_string(std::string& json, std::string_view text) {
  json += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        json += "\\\"";
        break;
      case '\\':
        json += "\\\\";
        break;
      case '\n':
        json += "\\n";
        break;
      case '\r':
        json += "\\r";
        break;
      case '\t':
        json += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) json += fmt::format("\\u{:04x}", static_cast<int>(c));
        else json += c;
    }
  }
  json += '"';
}

std::string to_json_line(const Post& post) {
  std::string json = "{\"id\":";
  append_json_string(json, post.id);
  append_text(json, "author", post.author);
  if (post.time_s != 0) json += fmt::format(",\"time\":\"{}\"", format_time(post.time_s));
  append_text(json, "text", post.text);
  append_text(json, "language", post.language);
  append_text(json, "community", post.community);
  append_text(json, "reply_to", post.reply_to);
  append_text(json, "quote_of", post.quote_of);
  append_list(json, "hashtags", post.hashtags);
  append_list(json, "mentions", post.mentions);
  append_list(json, "urls", post.urls);
  append_count(json, "likes", post.likes);
  append_count(json, "reposts", post.reposts);
  append_count(json, "replies", post.replies);
  json += '}';
  return json;
}

void check_post(const Post& post) {
  if (post.id.empty()) throw DataError("field `id` is missing or empty");
  if (post.text.empty()) throw DataError("field `text` is missing or empty");
  check_id(post.id, "id");
  check_id(post.author, "author");
  check_id(post.reply_to, "reply_to");
  check_id(post.quote_of, "quote_of");
  check_id(post.community, "community");
  check_id(post.language, "language");
  if (post.time_s < kFirstTime_s || post.time_s > kLastTime_s)
    throw DataError(fmt::format("field `time` is {}, not seconds of the years 0 to 9999", post.time_s));
  const auto check_utf8 = [](const std::string& text) {
    if (!simdjson::validate_utf8(text)) throw DataError("the post is not valid UTF-8");
  };
  for (const std::string* text :
       {&post.id, &post.author, &post.text, &post.language, &post.community, &post.reply_to, &post.quote_of})
    check_utf8(*text);
  for (const std::vector<std::string>* list : {&post.hashtags, &post.mentions, &post.urls})
    std::for_each(list->begin(), list->end(), check_utf8);
}

Post post_from_json(std::string_view json) {
  thread_local simdjson::dom::parser parser;
  element root;
  object fields;
  if (const auto code = parser.parse(json.data(), json.size()).get(root); code != simdjson::SUCCESS)
    throw DataError(fmt::format("not JSON: {}", simdjson::error_message(code)));
  if (root.get(fields) != simdjson::SUCCESS) throw DataError("not a JSON object");
  Post post;
  post.id = id_field(fields, "id");
  post.author = id_field(fields, "author");
  post.time_s = time_field(fields);
  post.text = text_field(fields, "text");
  post.language = text_field(fields, "language");
  post.community = text_field(fields, "community");
  post.reply_to = id_field(fields, "reply_to");
  post.quote_of = id_field(fields, "quote_of");
  post.likes = count_field(fields, "likes");
  post.reposts = count_field(fields, "reposts");
  post.replies = count_field(fields, "replies");
  read_entities(fields, post);
  check_post(post);
  return post;
}

}  // namespace starling

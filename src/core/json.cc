#include "core/json.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/json_scan.h"

namespace starling {

using nlohmann::json, nlohmann::ordered_json;

namespace {

// A text that is no longer than that cannot be: most rows of posts are not looked over twice.
bool is_too_deep(std::string_view text) { return text.size() > kDeepestJson && json_depth(text) > kDeepestJson; }

template <typename Json>
Json parse_bounded(std::string_view text) {
  if (is_too_deep(text))
    throw json::parse_error::create(101, 0, fmt::format("nested deeper than {} levels", kDeepestJson), nullptr);
  return Json::parse(text);
}

template <typename Json>
Json try_parse_bounded(std::string_view text) {
  return is_too_deep(text) ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
}

}  // namespace

int json_depth(std::string_view text) {
  int depth = 0, deepest = 0;
  for_each_outside_strings(text, [&](char c) {
    if (c == '[' || c == '{') deepest = std::max(deepest, ++depth);
    else if (c == ']' || c == '}') --depth;
  });
  return deepest;
}

json parse_json(std::string_view text) { return parse_bounded<json>(text); }
ordered_json parse_ordered_json(std::string_view text) { return parse_bounded<ordered_json>(text); }
json try_parse_json(std::string_view text) { return try_parse_bounded<json>(text); }
ordered_json try_parse_ordered_json(std::string_view text) { return try_parse_bounded<ordered_json>(text); }

std::string dump_json(const json& json, int indent) { return json.dump(indent); }
std::string dump_json(const ordered_json& json, int indent) { return json.dump(indent); }
std::string dump_json_lossy(const json& json, int indent) {
  return json.dump(indent, ' ', false, json::error_handler_t::replace);
}
std::string dump_json_lossy(const ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace starling

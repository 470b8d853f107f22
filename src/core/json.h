// Text to JSON and back, compiled once: the library's parser and writer are templates, which cost seconds in every file
// that calls them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace starling {

// Depth of the deepest array or object, found without parsing: brackets outside strings are counted. May be wrong only
// for text that is not JSON.
int json_depth(std::string_view text);

// All of them take deeper text for none: the library copies and writes a value by recursion.
inline constexpr int kDeepestJson = 512;

nlohmann::json parse_json(std::string_view text);                  // throws nlohmann::json::parse_error
nlohmann::ordered_json parse_ordered_json(std::string_view text);  // keeps the members' order; throws likewise

// What is no JSON comes back as is_discarded().
nlohmann::json try_parse_json(std::string_view text);
nlohmann::ordered_json try_parse_ordered_json(std::string_view text);

// One line, or lines indented by `indent` places. Throws nlohmann::json::type_error on a string that is not UTF-8.
std::string dump_json(const nlohmann::json& json, int indent = -1);
std::string dump_json(const nlohmann::ordered_json& json, int indent = -1);

// The same, but bytes that are not UTF-8 become U+FFFD.
std::string dump_json_lossy(const nlohmann::json& json, int indent = -1);
std::string dump_json_lossy(const nlohmann::ordered_json& json, int indent = -1);

}  // namespace starling

#include "core/json.h"

namespace starling {

using nlohmann::json, nlohmann::ordered_json;

json parse_json(std::string_view text) { return json::parse(text); }
ordered_json parse_ordered_json(std::string_view text) { return ordered_json::parse(text); }
json try_parse_json(std::string_view text) { return json::parse(text, nullptr, false); }
ordered_json try_parse_ordered_json(std::string_view text) { return ordered_json::parse(text, nullptr, false); }

std::string dump_json(const json& json, int indent) { return json.dump(indent); }
std::string dump_json(const ordered_json& json, int indent) { return json.dump(indent); }
std::string dump_json_lossy(const json& json, int indent) {
  return json.dump(indent, ' ', false, json::error_handler_t::replace);
}
std::string dump_json_lossy(const ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace starling

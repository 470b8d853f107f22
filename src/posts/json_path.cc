#include "posts/json_path.h"

namespace starling {
namespace {

using simdjson::dom::element;

void add_values(element value, std::vector<std::string>& values) {
  simdjson::dom::array list;
  std::string_view text;
  if (value.is_null()) return;
  if (value.get(text) == simdjson::SUCCESS) values.emplace_back(text);
  else if (value.get(list) == simdjson::SUCCESS)
    for (const element item : list) add_values(item, values);
  else if (!value.is_object()) values.push_back(simdjson::to_string(value));
}

void find_values(element value, std::string_view path, std::vector<std::string>& values) {
  simdjson::dom::array list;
  simdjson::dom::object object;
  element child;
  if (path.empty()) return add_values(value, values);
  if (value.get(list) == simdjson::SUCCESS) {
    for (const element item : list) find_values(item, path, values);
    return;
  }
  if (value.get(object) != simdjson::SUCCESS) return;
  if (object[path].get(child) == simdjson::SUCCESS) return add_values(child, values);
  const size_t dot = path.find('.');
  if (dot != std::string_view::npos && object[path.substr(0, dot)].get(child) == simdjson::SUCCESS)
    find_values(child, path.substr(dot + 1), values);
}

}  // namespace

std::vector<std::string> json_values(element root, std::string_view path) {
  std::vector<std::string> values;
  find_values(root, path, values);
  return values;
}

std::string json_text_at(element root, std::string_view path) {
  const std::vector<std::string> values = json_values(root, path);
  return values.empty() ? std::string() : values.front();
}

}  // namespace starling

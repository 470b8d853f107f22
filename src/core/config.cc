#include "core/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.h"
#include "core/file.h"
#include "core/toml.h"

namespace starling {
namespace {

const char* type_name(const ConfigValue& value) {
  static constexpr const char* kNames[] = {"true or false", "an integer", "a number", "a text"};
  return kNames[value.index()];
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row.back();
}

ConfigValue parse_as(const ConfigValue& type, const std::string& text, const std::string& where) {
  const char* end = text.data() + text.size();
  if (std::holds_alternative<std::string>(type)) return text;
  if (std::holds_alternative<bool>(type)) {
    if (text == "true") return true;
    if (text == "false") return false;
  } else if (std::holds_alternative<int64_t>(type)) {
    int64_t value = 0;
    if (auto [stop, code] = std::from_chars(text.data(), end, value); code == std::errc() && stop == end) return value;
  } else {
    double value = 0;
    if (auto [stop, code] = std::from_chars(text.data(), end, value); code == std::errc() && stop == end) return value;
  }
  throw ConfigError(fmt::format("{}: \"{}\" is not {}", where, text, type_name(type)));
}

std::string to_toml_value(const ConfigValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    std::string quoted = "\"";
    for (const char c : *text) {
      if (c == '"' || c == '\\') quoted += '\\';
      if ((c >= 0 && c < ' ') || c == 0x7F) quoted += fmt::format("\\u{:04X}", c);
      else quoted += c;
    }
    return quoted + '"';
  }
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<int64_t>(&value)) return fmt::format("{}", *integer);
  std::string number = fmt::format("{}", std::get<double>(value));
  return number.find_first_of(".en") == std::string::npos ? number + ".0" : number;
}

}  // namespace

std::string nearest_word(std::string_view word, std::span<const std::string> candidates) {
  const auto best = std::min_element(candidates.begin(), candidates.end(), [&](const auto& a, const auto& b) {
    return edit_distance(word, a) < edit_distance(word, b);
  });
  return best == candidates.end() ? std::string() : *best;
}

Config::Config(std::span<const ConfigKey> keys) : keys_(keys.begin(), keys.end()) {
  for (const ConfigKey& key : keys_) values_[key.name] = key.fallback;
}

void Config::assign(const std::string& name, ConfigValue value, const std::string& where) {
  const auto known = values_.find(name);
  if (known == values_.end()) {
    std::vector<std::string> names;
    for (const ConfigKey& key : keys_) names.push_back(key.name);
    throw ConfigError(
        fmt::format("{}: unknown key \"{}\"; the nearest known key is \"{}\"", where, name, nearest_word(name, names)));
  }
  if (std::holds_alternative<double>(known->second) && std::holds_alternative<int64_t>(value))
    value = static_cast<double>(std::get<int64_t>(value));
  if (known->second.index() != value.index())
    throw ConfigError(
        fmt::format("{}: \"{}\" must be {}, not {}", where, name, type_name(known->second), type_name(value)));
  if (const double* number = std::get_if<double>(&value); number && std::isnan(*number))
    throw ConfigError(fmt::format("{}: \"{}\" must be a number, not nan", where, name));
  known->second = std::move(value);
}

void Config::load_file(const std::filesystem::path& path) { load_text(read_file(path), path.string()); }

void Config::load_text(std::string_view toml, const std::string& file) {
  const toml::table document = parse_toml(toml, file);
  for (const auto& [section, node] : document) {
    const std::string where = fmt::format("{}:{}", file, node.source().begin.line);
    const toml::table* table = node.as_table();
    if (!table) throw ConfigError(fmt::format("{}: \"{}\" stands outside a [section]", where, section.str()));
    for (const auto& [key, value] : *table) {
      const std::string name = fmt::format("{}.{}", section.str(), key.str());
      const std::string line = fmt::format("{}:{}", file, value.source().begin.line);
      if (value.is_boolean()) assign(name, *value.value<bool>(), line);
      else if (value.is_integer()) assign(name, *value.value<int64_t>(), line);
      else if (value.is_floating_point()) assign(name, *value.value<double>(), line);
      else if (value.is_string()) assign(name, *value.value<std::string>(), line);
      else throw ConfigError(fmt::format("{}: \"{}\" must be a boolean, a number or a text", line, name));
    }
  }
}

void Config::set(std::string_view assignment) {
  const size_t equals = assignment.find('=');
  const std::string where = fmt::format("--set {}", assignment);
  if (equals == std::string_view::npos) throw ConfigError(where + ": expected section.key=value");
  const std::string name(assignment.substr(0, equals));
  const std::string text(assignment.substr(equals + 1));
  const auto known = values_.find(name);
  assign(name, known == values_.end() ? ConfigValue(text) : parse_as(known->second, text, where), where);
}

const ConfigValue& Config::at(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) throw ConfigError(fmt::format("no module declares the setting \"{}\"", name));
  return found->second;
}

bool Config::boolean(std::string_view name) const { return std::get<bool>(at(name)); }
int64_t Config::integer(std::string_view name) const { return std::get<int64_t>(at(name)); }
uint64_t Config::count(std::string_view name) const {
  const int64_t value = integer(name);
  if (value < 0) throw ConfigError(fmt::format("{} must be 0 or more, not {}", name, value));
  return static_cast<uint64_t>(value);
}
double Config::number(std::string_view name) const { return std::get<double>(at(name)); }
const std::string& Config::text(std::string_view name) const { return std::get<std::string>(at(name)); }

std::string Config::to_toml() const {
  std::string out, section;
  for (const ConfigKey& key : keys_) {
    const size_t dot = key.name.find('.');
    if (key.name.substr(0, dot) != section) {
      section = key.name.substr(0, dot);
      out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", section);
    }
    out += fmt::format("{} = {}  # {}\n", key.name.substr(dot + 1), to_toml_value(values_.at(key.name)), key.help);
  }
  return out;
}

}  // namespace starling

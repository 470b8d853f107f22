// Settings: defaults < starling.toml < --set section.key=value. Each module declares its keys in a table of ConfigKey;
// a key that no table knows is an error that names the nearest known one. The resolved text is saved with every run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace starling {

using ConfigValue = std::variant<bool, int64_t, double, std::string>;

struct ConfigKey {
  std::string name;      // "train.steps"
  ConfigValue fallback;  // its type is the key's type; an integer is accepted where a number is wanted
  std::string help;      // one line, with the unit
};

class Config {
 public:
  explicit Config(std::span<const ConfigKey> keys);  // every key at its default

  void load_file(const std::filesystem::path& toml);  // throws ConfigError with file, line and the nearest key; IoError
  void load_text(std::string_view toml, const std::string& name);  // the same; errors say `name` for the file
  void set(std::string_view assignment);                           // "train.steps=200"; throws ConfigError

  bool boolean(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  uint64_t count(std::string_view name) const;  // an integer; throws ConfigError where it is below 0
  double number(std::string_view name) const;
  const std::string& text(std::string_view name) const;

  std::string to_toml() const;  // resolved values, with each key's help as a comment

 private:
  void assign(const std::string& name, ConfigValue value, const std::string& where);
  const ConfigValue& at(std::string_view name) const;
  std::vector<ConfigKey> keys_;
  std::map<std::string, ConfigValue, std::less<>> values_;
};

// The candidate with the smallest edit distance to `word`; empty when there is none.
std::string nearest_word(std::string_view word, std::span<const std::string> candidates);

}  // namespace starling

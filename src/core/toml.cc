#include "core/toml.h"

#include <fmt/format.h>

#include "core/error.h"

namespace starling {
namespace {

struct TomlAssertion {};

}  // namespace

void fail_toml_assertion() { throw TomlAssertion(); }

toml::table parse_toml(std::string_view text, const std::string& name) {
  try {
    return toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    throw ConfigError(fmt::format("{}:{}: {}", name, error.source().begin.line, error.description()));
  } catch (const TomlAssertion&) {
    throw ConfigError(fmt::format("{}: not a TOML document; look for a [table] or a key without a name", name));
  }
}

}  // namespace starling

// TOML documents: toml++ as every file here takes it. The library asserts what a malformed document can bring about
// ("[= 2]" in 3.3.0), which would end the program; here that is an error of the document like any other.
#pragma once

#include <string>
#include <string_view>

namespace starling {
[[noreturn]] void fail_toml_assertion();  // parse_toml catches what it throws
}  // namespace starling

#pragma push_macro("NDEBUG")
#undef NDEBUG  // with it the library would take its assertions for granted
#define TOML_ASSERT(expression) ((expression) ? static_cast<void>(0) : starling::fail_toml_assertion())
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

namespace starling {

// Throws ConfigError "name:line: what is wrong".
toml::table parse_toml(std::string_view text, const std::string& name);

}  // namespace starling

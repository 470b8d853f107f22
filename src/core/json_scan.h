// What a JSON text is made of, without parsing it: for bounds that must be known before it is parsed.
#pragma once

#include <string_view>

namespace starling {

// Calls visit(c) for every byte outside of strings.
template <typename Visit>
void for_each_outside_strings(std::string_view json, const Visit& visit) {
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string && c == '\\') ++i;
    else if (c == '"') in_string = !in_string;
    else if (!in_string) visit(c);
  }
}

}  // namespace starling

// UTF-8 validity, by ICU's rules (no surrogates, no overlong forms).
#pragma once

#include <cstddef>
#include <string_view>

namespace starling {

// Bytes of the character at the start of `text`; 0 when it does not start with a valid character.
size_t utf8_length(std::string_view text);
bool is_valid_utf8(std::string_view text);

}  // namespace starling

// Characters of UTF-8 text and their classes: ICU's, with a short way for ASCII, which most text is.
#pragma once

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace starling {

// The character at `position`, which moves behind it; negative for an invalid byte.
inline UChar32 next_character(std::string_view text, size_t& position) {
  const auto byte = static_cast<unsigned char>(text[position]);
  if (byte < 0x80) {
    ++position;
    return byte;
  }
  UChar32 c = 0;
  const std::string_view window = text.substr(position, U8_MAX_LENGTH);  // ICU counts in int32_t
  int32_t i = 0;
  U8_NEXT(window.data(), i, static_cast<int32_t>(window.size()), c);
  position += static_cast<size_t>(i);
  return c;
}

inline bool is_digit(UChar32 c) { return c < 0x80 ? c >= '0' && c <= '9' : u_isdigit(c); }
inline bool is_letter(UChar32 c) { return c < 0x80 ? (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') : u_isalpha(c); }
inline bool is_capital(UChar32 c) { return c < 0x80 ? c >= 'A' && c <= 'Z' : u_isupper(c); }
inline bool is_letter_or_digit(UChar32 c) { return c < 0x80 ? is_letter(c) || is_digit(c) : u_isalnum(c); }
inline UChar32 lower_case(UChar32 c) { return c >= 0x80 ? u_tolower(c) : is_capital(c) ? c + ('a' - 'A') : c; }

}  // namespace starling

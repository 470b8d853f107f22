#include "tokenizer/utf8.h"

#include <unicode/utf8.h>

namespace starling {

size_t utf8_length(std::string_view text) {
  const std::string_view window = text.substr(0, U8_MAX_LENGTH);  // ICU counts in int32_t
  if (window.empty()) return 0;
  int32_t next = 0;
  UChar32 code = 0;
  U8_NEXT(window.data(), next, static_cast<int32_t>(window.size()), code);
  return code < 0 ? 0 : static_cast<size_t>(next);
}

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace starling

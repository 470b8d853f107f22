// The language of a short text, by CLD2 (Compact Language Detector 2).
#pragma once

#include <string>
#include <string_view>

namespace starling {

// ISO 639-1 code ("en", "zh"), the 639-2 code where there is none, "und" when unsure. URLs, mentions and hashtag signs
// do not count. text: any bytes.
std::string detect_language(std::string_view text);

// ISO 639-1 code of a code or an English name ("EN", "pt-BR", "Russian"); empty when it is neither.
std::string language_code(std::string_view name);

}  // namespace starling

// The language of a short text, by CLD2 (Compact Language Detector 2) with its tables of 175 languages.
#pragma once

#include <string>
#include <string_view>

namespace starling {

// ISO 639-1 code ("en", "zh"), the 639-2 code where there is none, "und" when unsure: a text of few letters seldom
// holds enough evidence. URLs, mentions and hashtag signs do not count. text: any bytes. docs/formats/posts.md has how
// often it answers and is right, by length.
std::string detect_language(std::string_view text);

// ISO 639-1 code of a code or an English name ("EN", "pt-BR", "Russian"); empty when it is neither.
std::string language_code(std::string_view name);

}  // namespace starling

// GPT-2's byte alphabet: every byte is written as one printable Unicode character, so that a vocabulary of byte strings
// fits in JSON. Printable ASCII and Latin-1 stand for themselves, the other 68 bytes for U+0100, U+0101, ...
// Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (released code's
// bytes_to_unicode).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace starling {

std::string to_byte_alphabet(std::string_view bytes);
// Nothing when `text` has a character outside the alphabet.
std::optional<std::string> from_byte_alphabet(std::string_view text);

}  // namespace starling

// Unicode's canonical composition (NFC), as tokenizer.json files ask for it.
// Source: Unicode Standard Annex 15. Characters of Unicode versions later than kNfcUnicodeVersion stay as they are: the
// normalizer of Hugging Face's tokenizers does not know them.
#pragma once

#include <string>
#include <string_view>

namespace starling {

inline constexpr const char* kNfcUnicodeVersion = "9.0";

// True for most text and cheap: every character below U+0300 is its own composition and joins with nothing before it.
bool is_surely_nfc(std::string_view text);

// Text that is not valid UTF-8 is returned as it is, so that its bytes survive.
std::string to_nfc(std::string_view text);

}  // namespace starling

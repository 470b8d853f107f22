// Ad text as tokens with byte offsets, and what a reader cannot see in it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace starling {

enum class ScanType {
  word,    // letters, apostrophes inside
  number,  // digits with separators: "1,299.00"
  code,    // letters with digits: "ddr5", "9:30", "24/7" is three tokens
  symbol,  // one character: % $ / - + ...
  comma,   // ends a clause: , ( ) and dashes with spaces
  stop,    // ends a sentence: . ! ? ; line feed
};

struct ScanToken {
  ScanType type;
  std::string text;  // compatibility-normalised and case-folded (NFKC_Casefold), digits as 0-9
  std::string raw;   // as written
  size_t begin = 0, end = 0;
  bool capital = false;  // the first letter is upper case
  bool glued = false;    // no space before it
};

std::vector<ScanToken> scan_text(std::string_view text);

// Why a reader would not see what a checker sees: invalid UTF-8, hidden or direction-changing characters, words that
// mix scripts, superscript and fraction digits. Empty: none.
std::vector<std::string> hidden_text_problems(std::string_view text);

int count_graphemes(std::string_view text);    // extended grapheme clusters (Unicode Annex 29)
std::string fold_text(std::string_view text);  // NFKC_Casefold, runs of white space as one space
std::string singular(std::string_view word);   // "bags" -> "bag", "Nordlys's" -> "nordlys"; only plural and possessive

}  // namespace starling

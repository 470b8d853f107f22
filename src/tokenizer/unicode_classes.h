// What split patterns ask of a character, as of Unicode 16.0: the version of the regular-expression engines that other
// tokenizers use. The classes do not depend on the installed ICU, so a text has the same tokens on every machine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace starling {

// By general category: Lu and Lt; Ll; Lm and Lo; M; N; the property White_Space; everything else.
enum class CharClass : uint8_t { kOther, kUpper, kLower, kCaseless, kMark, kNumber, kSpace, kEnd };

inline bool is_letter(CharClass kind) { return kind >= CharClass::kUpper && kind <= CharClass::kCaseless; }
inline bool is_other(CharClass kind) {
  return kind == CharClass::kOther || kind == CharClass::kMark;
}  // [^\s\p{L}\p{N}]

inline constexpr char32_t kCodePoints = 0x110000;

class UnicodeClasses {
 public:
  static const UnicodeClasses& get();  // made on the first call, in about a millisecond
  CharClass of(char32_t code) const { return pages_[page_of_[code >> kPageBits]][code & (kPageSize - 1)]; }

 private:
  static constexpr int kPageBits = 8;
  static constexpr size_t kPageSize = 1 << kPageBits;
  using Page = std::array<CharClass, kPageSize>;
  UnicodeClasses();
  std::array<uint16_t, (kCodePoints >> kPageBits)> page_of_;
  std::vector<Page> pages_;  // equal pages are kept once
};

}  // namespace starling

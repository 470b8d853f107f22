#include "tokenizer/unicode_classes.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <map>

namespace starling {
namespace {

constexpr int kKnownToEveryIcu = 15;  // Unicode's major version in Debian 12; later characters are listed here

struct Range {
  char32_t first, last;
  CharClass kind;
};

// Characters that came with Unicode 15.1 and 16.0 (DerivedGeneralCategory.txt), without those of class kOther.
constexpr Range kLaterCharacters[] = {
    {0x0897, 0x0897, CharClass::kMark},       {0x1C89, 0x1C89, CharClass::kUpper},
    {0x1C8A, 0x1C8A, CharClass::kLower},      {0xA7CB, 0xA7CC, CharClass::kUpper},
    {0xA7CD, 0xA7CD, CharClass::kLower},      {0xA7DA, 0xA7DA, CharClass::kUpper},
    {0xA7DB, 0xA7DB, CharClass::kLower},      {0xA7DC, 0xA7DC, CharClass::kUpper},
    {0x105C0, 0x105F3, CharClass::kCaseless}, {0x10D40, 0x10D49, CharClass::kNumber},
    {0x10D4A, 0x10D4F, CharClass::kCaseless}, {0x10D50, 0x10D65, CharClass::kUpper},
    {0x10D69, 0x10D6D, CharClass::kMark},     {0x10D6F, 0x10D6F, CharClass::kCaseless},
    {0x10D70, 0x10D85, CharClass::kLower},    {0x10EC2, 0x10EC4, CharClass::kCaseless},
    {0x10EFC, 0x10EFC, CharClass::kMark},     {0x11380, 0x11389, CharClass::kCaseless},
    {0x1138B, 0x1138B, CharClass::kCaseless}, {0x1138E, 0x1138E, CharClass::kCaseless},
    {0x11390, 0x113B5, CharClass::kCaseless}, {0x113B7, 0x113B7, CharClass::kCaseless},
    {0x113B8, 0x113C0, CharClass::kMark},     {0x113C2, 0x113C2, CharClass::kMark},
    {0x113C5, 0x113C5, CharClass::kMark},     {0x113C7, 0x113CA, CharClass::kMark},
    {0x113CC, 0x113D0, CharClass::kMark},     {0x113D1, 0x113D1, CharClass::kCaseless},
    {0x113D2, 0x113D2, CharClass::kMark},     {0x113D3, 0x113D3, CharClass::kCaseless},
    {0x113E1, 0x113E2, CharClass::kMark},     {0x116D0, 0x116E3, CharClass::kNumber},
    {0x11BC0, 0x11BE0, CharClass::kCaseless}, {0x11BF0, 0x11BF9, CharClass::kNumber},
    {0x11F5A, 0x11F5A, CharClass::kMark},     {0x13460, 0x143FA, CharClass::kCaseless},
    {0x16100, 0x1611D, CharClass::kCaseless}, {0x1611E, 0x1612F, CharClass::kMark},
    {0x16130, 0x16139, CharClass::kNumber},   {0x16D40, 0x16D6C, CharClass::kCaseless},
    {0x16D70, 0x16D79, CharClass::kNumber},   {0x18CFF, 0x18CFF, CharClass::kCaseless},
    {0x1CCF0, 0x1CCF9, CharClass::kNumber},   {0x1E5D0, 0x1E5ED, CharClass::kCaseless},
    {0x1E5EE, 0x1E5EF, CharClass::kMark},     {0x1E5F0, 0x1E5F0, CharClass::kCaseless},
    {0x1E5F1, 0x1E5FA, CharClass::kNumber},   {0x2EBF0, 0x2EE5D, CharClass::kCaseless},
};

CharClass class_of(UCharCategory category) {
  const uint32_t mask = U_MASK(category);
  if (mask & (U_GC_LU_MASK | U_GC_LT_MASK)) return CharClass::kUpper;
  if (mask & U_GC_LL_MASK) return CharClass::kLower;
  if (mask & (U_GC_LM_MASK | U_GC_LO_MASK)) return CharClass::kCaseless;
  if (mask & U_GC_M_MASK) return CharClass::kMark;
  return mask & U_GC_N_MASK ? CharClass::kNumber : CharClass::kOther;
}

bool is_later(UChar32 code) {
  UVersionInfo age;
  u_charAge(code, age);
  return age[0] > kKnownToEveryIcu || (age[0] == kKnownToEveryIcu && age[1] > 0);
}

UBool add_range(const void* context, UChar32 begin, UChar32 end, UCharCategory category) {
  auto& classes = *static_cast<std::vector<CharClass>*>(const_cast<void*>(context));
  const CharClass kind = class_of(category);
  if (kind != CharClass::kOther) std::fill(classes.begin() + begin, classes.begin() + end, kind);
  return true;
}

std::vector<CharClass> all_classes() {
  std::vector<CharClass> classes(kCodePoints, CharClass::kOther);
  u_enumCharTypes(add_range, &classes);
  UVersionInfo icu;
  u_getUnicodeVersion(icu);
  if (icu[0] > kKnownToEveryIcu || icu[1] > 0) {
    for (char32_t code = 0; code < kCodePoints; ++code) {
      if (is_later(static_cast<UChar32>(code))) classes[code] = CharClass::kOther;
    }
  }
  for (const Range& range : kLaterCharacters)
    std::fill(classes.begin() + range.first, classes.begin() + range.last + 1, range.kind);
  for (char32_t code = 0; code <= 0x3000; ++code) {  // U+3000 is the last space
    if (u_isUWhiteSpace(static_cast<UChar32>(code))) classes[code] = CharClass::kSpace;
  }
  return classes;
}

}  // namespace

const UnicodeClasses& UnicodeClasses::get() {
  static const UnicodeClasses classes;
  return classes;
}

UnicodeClasses::UnicodeClasses() {
  const std::vector<CharClass> classes = all_classes();
  std::map<Page, uint16_t> known;
  for (size_t number = 0; number < page_of_.size(); ++number) {
    Page page;
    std::copy_n(classes.begin() + static_cast<std::ptrdiff_t>(number * kPageSize), kPageSize, page.begin());
    const auto [at, is_new] = known.emplace(page, static_cast<uint16_t>(pages_.size()));
    if (is_new) pages_.push_back(page);
    page_of_[number] = at->second;
  }
}

}  // namespace starling

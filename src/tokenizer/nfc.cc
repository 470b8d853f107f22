#include "tokenizer/nfc.h"

#include <fmt/format.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uniset.h>

#include <algorithm>

#include "core/error.h"
#include "tokenizer/utf8.h"

namespace starling {

namespace {

void check(UErrorCode status) {
  if (U_FAILURE(status)) throw DataError(fmt::format("Unicode normalization failed: {}", u_errorName(status)));
}

// NFC as of kNfcUnicodeVersion: to the filtered normalizer the other characters join with nothing.
const icu::Normalizer2& nfc() {
  static const auto normalizer = [] {
    UErrorCode status = U_ZERO_ERROR;
    const std::string known = fmt::format("[:age={}:]", kNfcUnicodeVersion);
    static const icu::UnicodeSet characters(icu::UnicodeString::fromUTF8(known), status);
    const icu::Normalizer2* newest = icu::Normalizer2::getNFCInstance(status);
    check(status);
    return icu::FilteredNormalizer2(*newest, characters);
  }();
  return normalizer;
}

}  // namespace

bool is_surely_nfc(std::string_view text) {
  constexpr unsigned char kFirstOf0300 = 0xCC;
  return std::none_of(text.begin(), text.end(), [](unsigned char byte) { return byte >= kFirstOf0300; });
}

std::string to_nfc(std::string_view text) {
  if (!is_valid_utf8(text)) return std::string(text);
  UErrorCode status = U_ZERO_ERROR;
  std::string normal;
  icu::StringByteSink<std::string> sink(&normal);
  nfc().normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink, nullptr, status);
  check(status);
  return normal;
}

}  // namespace starling

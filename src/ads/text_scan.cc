#include "ads/text_scan.h"

#include <fmt/format.h>
#include <unicode/brkiter.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>
#include <unicode/uscript.h>
#include <unicode/utf8.h>

#include <memory>
#include <set>

#include "core/error.h"

namespace starling {
namespace {

// The code point at `offset` and the offset after it; an invalid byte reads as U+FFFD.
UChar32 next_code_point(std::string_view text, size_t& offset) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  int32_t at = static_cast<int32_t>(offset);
  UChar32 c = 0;
  U8_NEXT(bytes, at, static_cast<int32_t>(text.size()), c);
  offset = static_cast<size_t>(at);
  return c < 0 ? 0xFFFD : c;
}

UChar32 peek(std::string_view text, size_t offset) { return offset < text.size() ? next_code_point(text, offset) : 0; }

bool is_digit(UChar32 c) { return u_charType(c) == U_DECIMAL_DIGIT_NUMBER; }
bool is_mark(UChar32 c) { return u_charType(c) == U_NON_SPACING_MARK || u_charType(c) == U_COMBINING_SPACING_MARK; }
bool is_letter(UChar32 c) { return u_isalpha(c) || is_mark(c); }
bool is_apostrophe(UChar32 c) { return c == '\'' || c == 0x2019; }
bool is_dash(UChar32 c) { return c == '-' || u_charType(c) == U_DASH_PUNCTUATION; }

std::string nfkc_casefold(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = icu::Normalizer2::getNFKCCasefoldInstance(status);
  if (U_FAILURE(status) != 0) throw DataError(fmt::format("Unicode normalisation: {}", u_errorName(status)));
  std::string folded;
  normalizer
      ->normalize(icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size()))),
                  status)
      .toUTF8String(folded);
  return folded;
}

// Digits of any script as 0-9, the typographic apostrophe as the plain one.
std::string folded_token(std::string_view raw) {
  const std::string folded = nfkc_casefold(raw);
  std::string out;
  for (size_t at = 0; at < folded.size();) {
    const size_t begin = at;
    const UChar32 c = next_code_point(folded, at);
    if (is_digit(c)) {
      out += static_cast<char>('0' + u_charDigitValue(c));
    } else if (is_apostrophe(c)) {
      out += '\'';
    } else {
      out.append(folded, begin, at - begin);
    }
  }
  return out;
}

// One past the number that starts at `at`: digits, with separators that have a digit on both sides.
size_t number_end(std::string_view text, size_t at, bool& is_code) {
  while (at < text.size()) {
    size_t after = at;
    const UChar32 c = next_code_point(text, after);
    const bool separator = c == '.' || c == ',' || c == ':' || is_apostrophe(c);
    if (!is_digit(c) && !(separator && is_digit(peek(text, after)))) break;
    is_code = is_code || c == ':';
    at = after;
  }
  return at;
}

// One past the word that starts at `at`: letters and marks, digits after a letter, apostrophes between letters.
size_t word_end(std::string_view text, size_t at, bool& is_code) {
  while (at < text.size()) {
    size_t after = at;
    const UChar32 c = next_code_point(text, after);
    if (!is_letter(c) && !is_digit(c) && !(is_apostrophe(c) && is_letter(peek(text, after)))) break;
    is_code = is_code || is_digit(c);
    at = after;
  }
  return at;
}

ScanType punctuation_type(UChar32 c, bool space_before, bool space_after) {
  if (c == '.' || c == '!' || c == '?' || c == ';' || c == '\n' || c == 0x2026 || c == 0x3002) return ScanType::stop;
  if (c == ',' || c == '(' || c == ')' || c == 0x2014) return ScanType::comma;
  if (is_dash(c) && space_before && space_after) return ScanType::comma;
  return ScanType::symbol;
}

}  // namespace

std::vector<ScanToken> scan_text(std::string_view text) {
  std::vector<ScanToken> tokens;
  bool space_before = true;
  for (size_t at = 0; at < text.size();) {
    size_t after = at;
    const UChar32 c = next_code_point(text, after);
    if (c != '\n' && u_isUWhiteSpace(c)) {
      space_before = true;
      at = after;
      continue;
    }
    ScanToken token{.type = ScanType::symbol,
                    .text = {},
                    .raw = {},
                    .begin = at,
                    .end = after,
                    .capital = u_isupper(c) != 0,
                    .glued = !space_before};
    bool is_code = false;
    if (is_digit(c)) {
      token.end = number_end(text, at, is_code);
      token.type = is_code ? ScanType::code : ScanType::number;
    } else if (is_letter(c)) {
      token.end = word_end(text, at, is_code);
      token.type = is_code ? ScanType::code : ScanType::word;
    } else {
      token.type = punctuation_type(c, space_before, after >= text.size() || u_isUWhiteSpace(peek(text, after)));
    }
    token.raw = std::string(text.substr(token.begin, token.end - token.begin));
    token.text = is_dash(c) ? "-" : folded_token(token.raw);
    at = token.end;
    space_before = c == '\n';
    tokens.push_back(std::move(token));
  }
  return tokens;
}

namespace {

// Letters of one word must be of one script; Han with kana and Hangul with Han are ordinary.
bool mixes_scripts(std::string_view word) {
  std::set<UScriptCode> scripts;
  for (size_t at = 0; at < word.size();) {
    UErrorCode status = U_ZERO_ERROR;
    const UScriptCode script = uscript_getScript(next_code_point(word, at), &status);
    if (script == USCRIPT_LATIN || script == USCRIPT_CYRILLIC || script == USCRIPT_GREEK ||
        script == USCRIPT_ARMENIAN || script == USCRIPT_CHEROKEE) {
      scripts.insert(script);
    }
  }
  return scripts.size() > 1;
}

}  // namespace

std::vector<std::string> hidden_text_problems(std::string_view text) {
  std::set<std::string> problems;
  for (size_t at = 0; at < text.size();) {
    const UChar32 c = next_code_point(text, at);
    const int8_t type = u_charType(c);
    if (c == 0xFFFD) problems.insert("the text is not valid UTF-8");
    if (type == U_FORMAT_CHAR || type == U_PRIVATE_USE_CHAR || (type == U_CONTROL_CHAR && c != '\n') ||
        (u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT) && c != 0xFE0F)) {
      problems.insert(fmt::format("the text holds the hidden character U+{:04X}", static_cast<unsigned>(c)));
    }
    if (type == U_OTHER_NUMBER || type == U_LETTER_NUMBER)
      problems.insert("the text holds a superscript or fraction digit: write the number plainly");
  }
  for (const ScanToken& token : scan_text(text)) {
    if (mixes_scripts(token.raw))
      problems.insert(fmt::format("the word “{}” mixes letters of several scripts", token.raw));
  }
  return {problems.begin(), problems.end()};
}

int count_graphemes(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<icu::BreakIterator> breaks(
      icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
  if (U_FAILURE(status) != 0) throw DataError(fmt::format("Unicode text boundaries: {}", u_errorName(status)));
  const icu::UnicodeString unicode =
      icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
  breaks->setText(unicode);
  int count = 0;
  while (breaks->next() != icu::BreakIterator::DONE) ++count;
  return count;
}

std::string fold_text(std::string_view text) {
  const std::string folded = folded_token(text);
  std::string out;
  for (size_t at = 0; at < folded.size();) {
    const size_t begin = at;
    if (u_isUWhiteSpace(next_code_point(folded, at))) {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else {
      out.append(folded, begin, at - begin);
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string singular(std::string_view word) {
  std::string out = folded_token(word);
  if (out.ends_with("'s")) out.resize(out.size() - 2);
  if (out.ends_with("'")) out.pop_back();
  if (out.size() > 4 && out.ends_with("ies")) return out.substr(0, out.size() - 3) + "y";
  for (const std::string_view ending : {"sses", "shes", "ches", "xes"}) {
    if (out.size() > ending.size() && out.ends_with(ending)) return out.substr(0, out.size() - 2);
  }
  if (out.size() > 3 && out.ends_with("s") && !out.ends_with("ss") && !out.ends_with("us") && !out.ends_with("is"))
    out.pop_back();
  return out;
}

}  // namespace starling

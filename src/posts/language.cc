#include "posts/language.h"

#include <cstdio>
// CLD2's header needs FILE declared before it.
#include <cld2/public/compact_lang_det.h>
#include <cld2/public/encodings.h>
#include <simdjson.h>

#include <algorithm>
#include <array>

#include "posts/entities.h"

namespace starling {
namespace {

// CLD2 keeps a few codes that ISO 639 has replaced, and writes scripts and regions into some.
std::string modern_code(std::string code) {
  code.resize(std::min(code.find('-'), code.size()));
  if (code == "iw") return "he";
  if (code == "jw") return "jv";
  if (code == "mo") return "ro";
  return code == "un" || code == "xxx" ? "und" : code;
}

bool is_handle_byte(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// The first of a text say its language as well as all of it do, and CLD2 takes its time for each.
constexpr size_t kMaxBytes = 384;

// Evidence that an answer needs: CLD2's score of its first language (per 1024 bytes) times the bytes of text, that is
// the sum of the log probabilities of the text's letter groups. Chosen on one half of the 75-language set so that at
// least nine of ten answers are right at every length; the other half agrees. Without it one of seven short answers is
// wrong.
constexpr double kLeastEvidence = 12;

// The words alone: the latin letters of an address or a name would outvote a short text.
std::string words_only(std::string_view text) {
  std::string words;
  for (size_t position = 0; position < text.size();) {
    if (words.size() >= kMaxBytes && text[position] == ' ') break;
    if (const size_t length = url_length(text.substr(position)); length > 0) {
      position += length;
    } else if (text[position] == '@') {
      for (++position; position < text.size() && is_handle_byte(text[position]);) ++position;
    } else {
      words += text[position] == '#' || text[position] == '_' ? ' ' : text[position];
      ++position;
    }
  }
  return words;
}

}  // namespace

std::string detect_language(std::string_view text) {
  const std::string words = words_only(text);
  if (!simdjson::validate_utf8(words)) return "und";
  const CLD2::CLDHints no_hints{nullptr, nullptr, CLD2::UNKNOWN_ENCODING, CLD2::UNKNOWN_LANGUAGE};
  std::array<CLD2::Language, 3> languages;
  std::array<int, 3> percents;
  std::array<double, 3> scores;
  int text_bytes = 0;
  bool reliable = false;
  const CLD2::Language language =
      CLD2::ExtDetectLanguageSummary(words.data(), static_cast<int>(words.size()), true, &no_hints, 0, languages.data(),
                                     percents.data(), scores.data(), nullptr, &text_bytes, &reliable);
  const bool enough = scores[0] * text_bytes / 1024 >= kLeastEvidence;
  return reliable && enough ? modern_code(CLD2::LanguageCode(language)) : "und";
}

std::string language_code(std::string_view name) {
  std::string lower(name.substr(0, 40)), upper;
  for (char& c : lower) {
    upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  if (lower == "und" || lower == "unknown") return "und";
  // CLD2 writes names in capitals and codes in small letters.
  for (const std::string& spelling : {upper, lower, lower.substr(0, lower.find('-'))}) {
    const CLD2::Language language = CLD2::GetLanguageFromName(spelling.c_str());
    if (language != CLD2::UNKNOWN_LANGUAGE) return modern_code(CLD2::LanguageCode(language));
  }
  return {};
}

}  // namespace starling

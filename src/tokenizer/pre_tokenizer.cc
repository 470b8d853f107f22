#include "tokenizer/pre_tokenizer.h"

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <array>

namespace starling {
namespace {

constexpr std::string_view kGpt2Regex = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kCl100kRegex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

enum class CharClass : uint8_t { kLetter, kNumber, kSpace, kOther, kEnd };

struct Char {
  CharClass kind = CharClass::kEnd;
  UChar32 code = -1;  // negative for the end of the text and for a byte that is not UTF-8
  size_t length = 0;  // bytes
  bool line_break() const { return code == '\r' || code == '\n'; }
};

CharClass classify(UChar32 code) {
  if (code < 0) return CharClass::kOther;
  const uint32_t category = U_MASK(u_charType(code));
  if (category & U_GC_L_MASK) return CharClass::kLetter;
  if (category & U_GC_N_MASK) return CharClass::kNumber;
  return u_isUWhiteSpace(code) ? CharClass::kSpace : CharClass::kOther;
}

CharClass classify_ascii(unsigned char code) {
  static const std::array<CharClass, 128> table = [] {
    std::array<CharClass, 128> classes{};
    for (int code = 0; code < 128; ++code) classes[code] = classify(code);
    return classes;
  }();
  return table[code];
}

// Walks one text. Each take_* starts at the current position and returns the end of its match, or the position itself
// when the alternative does not match.
class Splitter {
 public:
  Splitter(SplitPattern pattern, std::string_view text) : pattern_(pattern), text_(text) {}

  std::vector<std::string_view> split() {
    std::vector<std::string_view> pieces;
    while (position_ < text_.size()) {
      const size_t end = pattern_ == SplitPattern::kGpt2 ? gpt2_piece() : cl100k_piece();
      pieces.push_back(text_.substr(position_, end - position_));
      position_ = end;
    }
    return pieces;
  }

 private:
  Char char_at(size_t position) const {
    if (position >= text_.size()) return {};
    const auto first = static_cast<unsigned char>(text_[position]);
    if (first < 0x80) return {classify_ascii(first), first, 1};
    // ICU counts in int32_t, so it sees no more than the longest possible character.
    const std::string_view window = text_.substr(position, U8_MAX_LENGTH);
    int32_t next = 0;
    UChar32 code = 0;
    U8_NEXT(window.data(), next, static_cast<int32_t>(window.size()), code);
    if (code < 0) return {CharClass::kOther, -1, 1};
    return {classify(code), code, static_cast<size_t>(next)};
  }

  size_t run_end(size_t position, CharClass kind, size_t at_most = SIZE_MAX) const {
    Char next = char_at(position);
    for (size_t count = 0; next.kind == kind && count < at_most; ++count) {
      position += next.length;
      next = char_at(position);
    }
    return position;
  }

  size_t line_breaks_end(size_t position) const {
    while (char_at(position).line_break()) ++position;
    return position;
  }

  // 's 't 're 've 'm 'll 'd; the later patterns ignore case, and then U+017F (long s) folds to s.
  size_t take_contraction() const {
    if (text_[position_] != '\'') return position_;
    const bool fold = pattern_ != SplitPattern::kGpt2;
    const auto lower = [&](size_t offset) -> char {
      if (position_ + offset >= text_.size()) return 0;
      const char c = text_[position_ + offset];
      return fold && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    };
    const char first = lower(1), second = lower(2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return position_ + 2;
    if (fold && text_.substr(position_ + 1, 2) == "\u017F") return position_ + 3;
    const bool two =
        (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l');
    return two ? position_ + 3 : position_;
  }

  // \s+(?!\S)|\s+ : a run of spaces leaves its last one to the word that follows.
  size_t spaces_end() const {
    size_t last = position_, end = position_;
    for (Char next = char_at(end); next.kind == CharClass::kSpace; next = char_at(end)) {
      last = end;
      end += next.length;
    }
    return end == text_.size() || last == position_ ? end : last;
  }

  // \s*[\r\n]+ : up to the last line break of the run of spaces.
  size_t take_line_breaks() const {
    size_t match = position_, end = position_;
    for (Char next = char_at(end); next.kind == CharClass::kSpace; next = char_at(end)) {
      end += next.length;
      if (next.line_break()) match = end;
    }
    return match;
  }

  size_t gpt2_piece() const {
    if (const size_t end = take_contraction(); end > position_) return end;
    const size_t start = position_ + (text_[position_] == ' ' ? 1 : 0);
    const CharClass kind = char_at(start).kind;
    if (kind == CharClass::kLetter || kind == CharClass::kNumber || kind == CharClass::kOther)
      return run_end(start, kind);
    return spaces_end();
  }

  size_t cl100k_piece() const {
    if (const size_t end = take_contraction(); end > position_) return end;
    const Char first = char_at(position_);
    const Char second = char_at(position_ + first.length);
    if (first.kind == CharClass::kLetter) return run_end(position_, CharClass::kLetter);
    if (first.kind == CharClass::kNumber) {
      return run_end(position_, CharClass::kNumber, pattern_ == SplitPattern::kQwen2 ? 1 : 3);
    }
    if (!first.line_break() && second.kind == CharClass::kLetter) {
      return run_end(position_ + first.length, CharClass::kLetter);
    }
    if (first.kind == CharClass::kOther) return line_breaks_end(run_end(position_, CharClass::kOther));
    if (first.code == ' ' && second.kind == CharClass::kOther) {
      return line_breaks_end(run_end(position_ + 1, CharClass::kOther));
    }
    if (const size_t end = take_line_breaks(); end > position_) return end;
    return spaces_end();
  }

  SplitPattern pattern_;
  std::string_view text_;
  size_t position_ = 0;
};

}  // namespace

std::string_view split_regex(SplitPattern pattern) {
  switch (pattern) {
    case SplitPattern::kGpt2:
      return kGpt2Regex;
    case SplitPattern::kCl100k:
      return kCl100kRegex;
    case SplitPattern::kQwen2:
      return kQwen2Regex;
  }
  return {};
}

std::optional<SplitPattern> split_pattern_of(std::string_view regex) {
  for (const SplitPattern pattern : {SplitPattern::kGpt2, SplitPattern::kCl100k, SplitPattern::kQwen2}) {
    if (split_regex(pattern) == regex) return pattern;
  }
  return std::nullopt;
}

std::vector<std::string_view> split_text(SplitPattern pattern, std::string_view text) {
  return Splitter(pattern, text).split();
}

}  // namespace starling

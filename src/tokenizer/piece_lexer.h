// The lexers behind split_text() (pre_tokenizer.h): each takes one piece from a position, as its regular expression
// with backtracking would, by looking at every character a bounded number of times.
#pragma once

#include <immintrin.h>

#include <array>
#include <bit>
#include <cstdint>
#include <string_view>

#include "tokenizer/padded_text.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/unicode_classes.h"

namespace starling {

enum class Contractions { kBeforeWords, kBeforeWordsAnyCase, kAfterWordsAnyCase, kNone };  // 's 't 're 've 'm 'll 'd

// In what the patterns differ.
struct SplitRules {
  bool space_joins_word = false;  // " ?\p{L}+": GPT-2; otherwise any one character but a line break may lead a word
  bool space_joins_number = false;
  bool cased_words = false;            // a word ends where a capital follows a small letter
  bool numbers_end_a_segment = false;  // numbers were cut out before, so spaces before one are taken to the last
  bool slash_follows_others = false;   // "[\r\n/]*" after punctuation, otherwise "[\r\n]*"
  size_t longest_number = SIZE_MAX;
  Contractions contractions = Contractions::kNone;
};

constexpr SplitRules split_rules(SplitPattern pattern) {
  switch (pattern) {
    case SplitPattern::kGpt2:
      return {.space_joins_word = true, .space_joins_number = true, .contractions = Contractions::kBeforeWords};
    case SplitPattern::kGpt2Digits:
      return {.space_joins_word = true,
              .numbers_end_a_segment = true,
              .longest_number = 1,
              .contractions = Contractions::kBeforeWords};
    case SplitPattern::kCl100k:
      return {.longest_number = 3, .contractions = Contractions::kBeforeWordsAnyCase};
    case SplitPattern::kQwen2:
      return {.longest_number = 1, .contractions = Contractions::kBeforeWordsAnyCase};
    case SplitPattern::kO200k:
      return {.cased_words = true,
              .slash_follows_others = true,
              .longest_number = 3,
              .contractions = Contractions::kAfterWordsAnyCase};
    case SplitPattern::kTekken:
      return {.cased_words = true, .slash_follows_others = true, .longest_number = 1};
  }
  return {};
}

struct NoCount {
  void operator()(size_t) {}
};

// `Count` is told how many characters each step looks at; the tests bound their sum.
template <SplitPattern pattern, typename Count = NoCount>
class PieceLexer {
 public:
  explicit PieceLexer(PaddedText text, Count count = {})
      : text_(text), classes_(UnicodeClasses::get()), count_(count) {}

  // The end of the piece that starts at `position` < text.size.
  size_t piece_end(size_t position) {
    const Char first = at(position);
    if constexpr (kRules.contractions == Contractions::kBeforeWords ||
                  kRules.contractions == Contractions::kBeforeWordsAnyCase) {
      if (first.byte == '\'') {
        if (const size_t end = contraction_end(position); end > position) return end;
      }
    }
    if constexpr (kRules.space_joins_word) return spaced_piece_end(position, first);
    else return led_piece_end(position, first);
  }

 private:
  static constexpr SplitRules kRules = split_rules(pattern);

  struct Char {
    CharClass kind;
    uint8_t byte;    // the first
    uint8_t length;  // in bytes; 0 at the end of the text
    bool line_break() const { return byte == '\r' || byte == '\n'; }
  };

  static constexpr std::array<CharClass, 128> kAscii = [] {
    std::array<CharClass, 128> classes{};
    for (int code = 0; code < 128; ++code) {
      if (code >= 'A' && code <= 'Z') classes[code] = CharClass::kUpper;
      else if (code >= 'a' && code <= 'z') classes[code] = CharClass::kLower;
      else if (code >= '0' && code <= '9') classes[code] = CharClass::kNumber;
      else classes[code] = code == ' ' || (code >= 9 && code <= 13) ? CharClass::kSpace : CharClass::kOther;
    }
    return classes;
  }();

  Char at(size_t position) {
    count_(1);
    const auto byte = static_cast<uint8_t>(text_.data[position]);
    if (byte < 0x80 && byte != 0) [[likely]]
      return {kAscii[byte], byte, 1};
    return rare_at(position, byte);
  }

  // Not ASCII, a zero byte, or the end. A byte that is not part of valid UTF-8 is a character of class kOther.
  Char rare_at(size_t position, uint8_t byte) const {
    if (byte == 0) return position < text_.size ? Char{CharClass::kOther, 0, 1} : Char{CharClass::kEnd, 0, 0};
    const auto tail = [&](size_t i) { return static_cast<uint8_t>(text_.data[position + i]); };
    const auto continues = [&](size_t i) { return (tail(i) & 0xC0) == 0x80; };
    const auto character = [&](char32_t code, uint8_t length) { return Char{classes_.of(code), byte, length}; };
    if (byte >= 0xE0 && byte < 0xF0 && continues(1) && continues(2)) {
      const char32_t code = (byte & 0xF) << 12 | (tail(1) & 0x3F) << 6 | (tail(2) & 0x3F);
      if (code >= 0x800 && (code < 0xD800 || code > 0xDFFF)) return character(code, 3);
    } else if (byte >= 0xC2 && byte < 0xE0 && continues(1)) {
      return character((byte & 0x1F) << 6 | (tail(1) & 0x3F), 2);
    } else if (byte >= 0xF0 && byte < 0xF5 && continues(1) && continues(2) && continues(3)) {
      const char32_t code = (byte & 7) << 18 | (tail(1) & 0x3F) << 12 | (tail(2) & 0x3F) << 6 | (tail(3) & 0x3F);
      if (code >= 0x10000 && code < kCodePoints) return character(code, 4);
    }
    return {CharClass::kOther, byte, 1};
  }

  // The end of the run of a-z, with A-Z unless `small` only.
  template <bool small>
  size_t ascii_letters_end(size_t position) {
    for (;; position += sizeof(__m256i)) {
      const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text_.data + position));
      const __m256i folded = small ? bytes : _mm256_or_si256(bytes, _mm256_set1_epi8(0x20));
      const __m256i from_a = _mm256_sub_epi8(folded, _mm256_set1_epi8('a'));
      const __m256i inside = _mm256_cmpeq_epi8(_mm256_min_epu8(from_a, _mm256_set1_epi8(25)), from_a);
      const uint32_t outside = ~static_cast<uint32_t>(_mm256_movemask_epi8(inside));
      const int run = std::countr_zero(outside);
      count_(static_cast<size_t>(run) + 1);
      if (outside != 0) return position + static_cast<size_t>(run);
    }
  }

  template <typename Takes>
  size_t run_end(size_t position, const Takes& takes, size_t at_most = SIZE_MAX) {
    Char next = at(position);
    for (size_t taken = 0; takes(next.kind) && taken < at_most; ++taken) {
      position += next.length;
      next = at(position);
    }
    return position;
  }

  // [letters]+ from a letter: by vectors while they are ASCII, one by one while they are not.
  template <bool small, typename Takes>
  size_t letters_end(size_t position, const Takes& takes) {
    for (;;) {
      position = ascii_letters_end<small>(position);
      Char next = at(position);
      if (next.byte < 0x80) return position;
      while (next.byte >= 0x80) {
        if (!takes(next.kind)) return position;
        position += next.length;
        next = at(position);
      }
    }
  }

  size_t word_end(size_t position) {
    if constexpr (kRules.cased_words) return cased_word_end(position);
    else return letters_end<false>(position, is_letter);
  }

  // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ or else [...]+[...]*, from a letter or a mark. When no
  // small letter follows the first run, it gives back what stands behind its last character that belongs to both.
  size_t cased_word_end(size_t position) {
    size_t end = position, end_of_both = position;
    Char next = at(end);
    while (next.kind == CharClass::kUpper || next.kind == CharClass::kCaseless || next.kind == CharClass::kMark) {
      end += next.length;
      if (next.kind != CharClass::kUpper) end_of_both = end;
      next = at(end);
    }
    if (next.kind == CharClass::kLower) {
      end = letters_end<true>(end, [](CharClass kind) {
        return kind == CharClass::kLower || kind == CharClass::kCaseless || kind == CharClass::kMark;
      });
    } else if (end_of_both > position) {
      end = end_of_both;
    }
    if constexpr (kRules.contractions == Contractions::kAfterWordsAnyCase) {
      if (text_.data[end] == '\'') return contraction_end(end);
    }
    return end;
  }

  // From an apostrophe; the position itself when none follows. Without regard to case U+017F (long s) is an s.
  size_t contraction_end(size_t position) {
    constexpr bool fold = kRules.contractions != Contractions::kBeforeWords;
    count_(3);
    const auto lower = [&](size_t offset) {
      const char c = text_.data[position + offset];
      return fold && c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    };
    const char first = lower(1), second = first == 0 ? '\0' : lower(2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return position + 2;
    if (fold && first == '\xC5' && second == '\xBF') return position + 3;
    const bool two =
        (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l');
    return two ? position + 3 : position;
  }

  // " ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
  size_t spaced_piece_end(size_t position, Char first) {
    size_t start = position;
    Char next = first;
    if (first.byte == ' ') next = at(++start);
    if (is_letter(next.kind)) return word_end(start);
    if (is_other(next.kind)) return run_end(start, is_other);
    if (next.kind == CharClass::kNumber && (start == position || kRules.space_joins_number))
      return run_end(start, is_number, kRules.longest_number);
    return spaces_end(position);
  }

  // "[^\r\n\p{L}\p{N}]?word|\p{N}{1,n}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
  size_t led_piece_end(size_t position, Char first) {
    const auto starts_word = [](CharClass kind) {
      return is_letter(kind) || (kRules.cased_words && kind == CharClass::kMark);
    };
    if (starts_word(first.kind)) return word_end(position);
    if (first.kind == CharClass::kNumber) return run_end(position, is_number, kRules.longest_number);
    const Char second = at(position + first.length);
    if (starts_word(second.kind) && !first.line_break()) return word_end(position + first.length);
    if (is_other(first.kind)) return others_end(position);
    if (first.byte == ' ' && is_other(second.kind)) return others_end(position + 1);
    return spaces_end(position);
  }

  size_t others_end(size_t position) {
    size_t end = run_end(position, is_other);
    const auto follows = [](char c) { return c == '\r' || c == '\n' || (kRules.slash_follows_others && c == '/'); };
    while (follows(text_.data[end])) count_(1), ++end;
    return end;
  }

  // "\s*[\r\n]+" (not GPT-2), or else "\s+(?!\S)|\s+": a run of spaces leaves its last one to what follows.
  size_t spaces_end(size_t position) {
    size_t last = position, end = position, line_end = position;
    Char next = at(end);
    for (; next.kind == CharClass::kSpace; next = at(end)) {
      last = end;
      end += next.length;
      if (next.line_break()) line_end = end;
    }
    if (!kRules.space_joins_word && line_end > position) return line_end;
    if (kRules.numbers_end_a_segment && next.kind == CharClass::kNumber) return end;
    return next.kind == CharClass::kEnd || last == position ? end : last;
  }

  static bool is_number(CharClass kind) { return kind == CharClass::kNumber; }

  PaddedText text_;
  const UnicodeClasses& classes_;
  [[no_unique_address]] Count count_;
};

// Calls visit(piece) for every piece of `text`, in order.
template <SplitPattern pattern, typename Visit>
void visit_pieces_of(PaddedText text, const Visit& visit) {
  PieceLexer<pattern> lexer(text);
  for (size_t position = 0; position < text.size;) {
    const size_t end = lexer.piece_end(position);
    visit(std::string_view(text.data + position, end - position));
    position = end;
  }
}

template <typename Visit>
void visit_pieces(SplitPattern pattern, PaddedText text, const Visit& visit) {
  switch (pattern) {
    case SplitPattern::kGpt2:
      return visit_pieces_of<SplitPattern::kGpt2>(text, visit);
    case SplitPattern::kGpt2Digits:
      return visit_pieces_of<SplitPattern::kGpt2Digits>(text, visit);
    case SplitPattern::kCl100k:
      return visit_pieces_of<SplitPattern::kCl100k>(text, visit);
    case SplitPattern::kQwen2:
      return visit_pieces_of<SplitPattern::kQwen2>(text, visit);
    case SplitPattern::kO200k:
      return visit_pieces_of<SplitPattern::kO200k>(text, visit);
    case SplitPattern::kTekken:
      return visit_pieces_of<SplitPattern::kTekken>(text, visit);
  }
}

}  // namespace starling

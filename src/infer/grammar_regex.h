// Regular expressions over characters (a subset of ECMAScript's, as JSON Schema asks), laid into a grammar as the
// inside of a JSON string: characters that JSON must escape are escaped, all others are written as UTF-8.
//
// Taken: literals, ., classes, \d \D \w \W \s \S, \t \n \r \f \v \xHH \uHHHH, groups, |, * + ? {m} {m,} {m,n} (lazy
// ones too), and ^ $ at the two ends of an alternative; a pattern without them may match anywhere, as in JSON Schema.
// Refused with a ConfigError that names the column: look-around, back references, \b, \p, ^ and $ elsewhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "infer/grammar.h"

namespace starling {

constexpr int kMaxGroupNesting = 100;  // of groups within each other, in patterns and grammars

// Sorted ranges [low, high] of code points that do not touch.
class CharacterSet {
 public:
  CharacterSet() = default;
  explicit CharacterSet(std::vector<std::pair<char32_t, char32_t>> ranges);
  static CharacterSet any();  // every character: no surrogates
  CharacterSet complement() const;
  const std::vector<std::pair<char32_t, char32_t>>& ranges() const { return ranges_; }
  bool contains(char32_t c) const;

 private:
  std::vector<std::pair<char32_t, char32_t>> ranges_;
};

// A non-deterministic automaton over characters.
struct CharacterNfa {
  struct Edge {
    CharacterSet set;
    int32_t to;
  };
  struct State {
    std::vector<Edge> edges;
    std::vector<int32_t> epsilon;
  };
  std::vector<State> states;
  int32_t start = 0, end = 0;

  size_t ranges = 0;  // of all edges

  int32_t add_state();
  void add_edge(int32_t from, CharacterSet set, int32_t to);
  // Throws ConfigError when it takes too long.
  bool matches(std::u32string_view text) const;
};

CharacterNfa parse_regex(std::string_view pattern);
// The strings of one pattern that has from `least` to `most` characters (none: no bound).
CharacterNfa with_length(const CharacterNfa& nfa, int64_t least, std::optional<int64_t> most);

// One character of `set` as UTF-8, from `from` to `to`; within a JSON string when `in_json`.
void add_characters(Grammar& grammar, Grammar::Node from, const CharacterSet& set, Grammar::Node to, bool in_json);
// The whole automaton; returns the node at its end.
Grammar::Node add_nfa(Grammar& grammar, Grammar::Node from, const CharacterNfa& nfa, bool in_json);

// The characters of UTF-8 text. Throws ConfigError when it is not valid UTF-8.
std::u32string to_characters(std::string_view utf8);

}  // namespace starling

#include "infer/grammar_regex.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <span>

#include "core/error.h"
#include "tokenizer/utf8.h"

namespace starling {
namespace {

constexpr char32_t kLast = 0x10ffff;
constexpr size_t kMaxStates = 50'000;
constexpr size_t kMaxRanges = 4'000'000;     // of all edges of an automaton
constexpr int64_t kMaxMatching = 2'000'000;  // states visited by one text
constexpr int64_t kMaxWork = 500'000;        // characters and classes read, those read again for copies too

using Ranges = std::vector<std::pair<char32_t, char32_t>>;

const Ranges kDigits = {{'0', '9'}};
const Ranges kWordCharacters = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const Ranges kSpaces = {{'\t', '\r'},     {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
                        {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
const Ranges kLineEnds = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

// Recursive descent over the pattern's characters; each method appends to `from` and returns the state after.
class RegexParser {
 public:
  explicit RegexParser(std::string_view pattern) : text_(to_characters(pattern)) {}

  CharacterNfa parse() {
    nfa_.start = nfa_.add_state();
    nfa_.end = nfa_.add_state();
    do {
      alternative_at_top();
    } while (take('|'));
    if (at_ < text_.size()) throw refused("this `)` closes nothing");
    return std::move(nfa_);
  }

 private:
  ConfigError refused(std::string_view why) const {
    return ConfigError(fmt::format("column {} of the pattern: {}", at_ + 1, why));
  }
  bool more() const { return at_ < text_.size(); }
  char32_t peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : 0; }
  bool take(char32_t c) {
    if (!more() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void epsilon(int32_t from, int32_t to) { nfa_.states[static_cast<size_t>(from)].epsilon.push_back(to); }
  int32_t any_text(int32_t from) {
    const int32_t state = nfa_.add_state();
    epsilon(from, state);
    nfa_.add_edge(state, CharacterSet::any(), state);
    return state;
  }

  void alternative_at_top() {
    int32_t state = nfa_.start;
    if (!take('^')) state = any_text(state);
    state = sequence(state);
    if (!take('$')) state = any_text(state);
    else if (more() && peek() != '|') throw refused("`$` is taken only at the end of an alternative");
    epsilon(state, nfa_.end);
  }
  int32_t sequence(int32_t state) {
    while (more() && peek() != '|' && peek() != ')' && peek() != '$') state = repeated(state);
    return state;
  }
  int32_t alternatives(int32_t from) {
    if (++nesting_ > kMaxGroupNesting) throw refused("groups are nested too deeply");
    const int32_t end = nfa_.add_state();
    do {
      const int32_t start = nfa_.add_state();
      epsilon(from, start);
      epsilon(sequence(start), end);
      if (peek() == '$' && more()) throw refused("`$` is taken only at the end of an alternative");
    } while (take('|'));
    --nesting_;
    return end;
  }

  // An atom and its quantifier. The atom is read again for each of its copies.
  int32_t repeated(int32_t from) {
    const size_t begin = at_;
    const size_t states_before = nfa_.states.size();
    const int32_t start = nfa_.add_state();
    const int32_t once = atom(start);
    int64_t least = 1, most = 1;
    if (!quantifier(least, most)) {
      epsilon(from, start);
      return once;
    }
    const size_t after = at_;
    nfa_.states.resize(states_before);
    int32_t state = from;
    const auto copy = [&](int32_t copy_from) {
      at_ = begin;
      const int32_t own_start = nfa_.add_state();
      epsilon(copy_from, own_start);
      return atom(own_start);
    };
    for (int64_t i = 0; i < least; ++i) state = copy(state);
    if (most < 0) {
      const int32_t loop = nfa_.add_state();
      epsilon(state, loop);
      epsilon(copy(loop), loop);
      state = loop;
    } else if (most > least) {
      const int32_t end = nfa_.add_state();
      for (int64_t i = least; i < most; ++i) {
        epsilon(state, end);
        state = copy(state);
      }
      epsilon(state, end);
      state = end;
    }
    at_ = after;
    if (state == from) {  // {0}
      state = nfa_.add_state();
      epsilon(from, state);
    }
    return state;
  }
  bool quantifier(int64_t& least, int64_t& most) {
    if (take('*')) least = 0, most = -1;
    else if (take('+')) least = 1, most = -1;
    else if (take('?')) least = 0, most = 1;
    else if (peek() == '{' && more()) braces(least, most);
    else return false;
    take('?');  // a lazy quantifier has the same language
    if (more() && (peek() == '*' || peek() == '+' || peek() == '{')) throw refused("nothing to repeat");
    return true;
  }
  void braces(int64_t& least, int64_t& most) {
    ++at_;
    least = count();
    most = least;
    if (take(',')) most = peek() == '}' ? -1 : count();
    if (!take('}')) throw refused("a repetition is {m}, {m,} or {m,n}");
    if (most >= 0 && most < least) throw refused("a repetition's second number is less than its first");
  }
  int64_t count() {
    int64_t value = 0;
    const size_t begin = at_;
    for (; peek() >= '0' && peek() <= '9'; ++at_) {
      value = value * 10 + static_cast<int64_t>(peek() - '0');
      if (value > 10'000) throw refused("a repetition is at most 10000");
    }
    if (at_ == begin) throw refused("a repetition is {m}, {m,} or {m,n}");
    return value;
  }

  // Copies that are thrown away again, as of {0}, make no states but take time.
  void count_work() {
    if (++work_ > kMaxWork) throw refused("its repetitions within repetitions are too many");
  }

  int32_t atom(int32_t from) {
    count_work();
    if (take('(')) {
      if (take('?') && !take(':')) throw refused("look-around and named groups are not taken; use (?: )");
      const int32_t end = alternatives(from);
      if (!take(')')) throw refused("a group is not closed");
      return end;
    }
    const int32_t to = nfa_.add_state();
    nfa_.add_edge(from, character_set(), to);
    return to;
  }
  CharacterSet character_set() {
    const char32_t c = text_[at_++];
    switch (c) {
      case '.':
        return CharacterSet(kLineEnds).complement();
      case '[':
        return bracket();
      case '\\':
        return escape();
      case '*':
      case '+':
      case '?':
        --at_;
        throw refused("nothing to repeat");
      case '^':
        --at_;
        throw refused("`^` is taken only at the start of an alternative");
      default:
        return CharacterSet({{c, c}});
    }
  }
  CharacterSet bracket() {
    const bool negated = take('^');
    Ranges ranges;
    while (peek() != ']') {
      if (!more()) throw refused("a class is not closed");
      const CharacterSet low = class_item();
      const bool range = peek() == '-' && peek(1) != ']' && at_ + 1 < text_.size();
      if (!range) {
        ranges.insert(ranges.end(), low.ranges().begin(), low.ranges().end());
        continue;
      }
      ++at_;
      const CharacterSet high = class_item();
      if (!is_single(low) || !is_single(high) || high.ranges()[0].first < low.ranges()[0].first)
        throw refused("a range of a class goes from one character up to another");
      ranges.push_back({low.ranges()[0].first, high.ranges()[0].first});
    }
    ++at_;
    const CharacterSet set(std::move(ranges));
    return negated ? set.complement() : set;
  }
  CharacterSet class_item() {
    count_work();
    const char32_t c = text_[at_++];
    return c == '\\' ? escape() : CharacterSet({{c, c}});
  }
  static bool is_single(const CharacterSet& set) {
    return set.ranges().size() == 1 && set.ranges()[0].first == set.ranges()[0].second;
  }
  CharacterSet escape() {
    if (!more()) throw refused("the pattern ends with a backslash");
    const char32_t c = text_[at_++];
    const auto one = [](char32_t value) { return CharacterSet({{value, value}}); };
    switch (c) {
      case 'd':
        return CharacterSet(kDigits);
      case 'D':
        return CharacterSet(kDigits).complement();
      case 'w':
        return CharacterSet(kWordCharacters);
      case 'W':
        return CharacterSet(kWordCharacters).complement();
      case 's':
        return CharacterSet(kSpaces);
      case 'S':
        return CharacterSet(kSpaces).complement();
      case 't':
        return one('\t');
      case 'n':
        return one('\n');
      case 'r':
        return one('\r');
      case 'f':
        return one('\f');
      case 'v':
        return one('\v');
      case 'x':
        return one(hexadecimal(2));
      case 'u':
        return one(hexadecimal(4));
      default:
        break;
    }
    const bool letter_or_digit =
        c < 128 && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
    if (letter_or_digit) {
      --at_;
      throw refused("this escape is not taken: no back references, \\b, \\p or \\k");
    }
    return one(c);
  }
  char32_t hexadecimal(int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char32_t c = peek();
      const char32_t lower = c | 0x20;
      if (c >= '0' && c <= '9') value = value * 16 + (c - '0');
      else if (lower >= 'a' && lower <= 'f') value = value * 16 + (lower - 'a' + 10);
      else throw refused("\\x takes two and \\u four hexadecimal digits");
      ++at_;
    }
    return value;
  }

  std::u32string text_;
  size_t at_ = 0;
  int nesting_ = 0;
  int64_t work_ = 0;
  CharacterNfa nfa_;
};

// The bytes of a code point; returns how many.
int encode(char32_t c, std::array<uint8_t, 4>& out) {
  if (c < 0x80) return out[0] = static_cast<uint8_t>(c), 1;
  const int length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (int i = length - 1; i > 0; --i, c >>= 6) out[static_cast<size_t>(i)] = static_cast<uint8_t>(0x80 | (c & 0x3f));
  constexpr uint8_t kFirst[] = {0, 0, 0xc0, 0xe0, 0xf0};
  out[0] = static_cast<uint8_t>(kFirst[length] | c);
  return length;
}

// All byte strings of one length from `low` to `high`, where every later byte runs over 80..BF in between.
void add_byte_range(Grammar& g, Grammar::Node from, std::span<const uint8_t> low, std::span<const uint8_t> high,
                    Grammar::Node to) {
  if (low.size() == 1) return g.add_bytes(from, low[0], high[0], to);
  const auto rest = [&](uint8_t first_low, uint8_t first_high, std::span<const uint8_t> a, std::span<const uint8_t> b) {
    const Grammar::Node next = g.add_node();
    g.add_bytes(from, first_low, first_high, next);
    add_byte_range(g, next, a, b, to);
  };
  static constexpr std::array<uint8_t, 3> kLeast = {0x80, 0x80, 0x80}, kMost = {0xbf, 0xbf, 0xbf};
  const std::span<const uint8_t> least = std::span(kLeast).first(low.size() - 1),
                                 most = std::span(kMost).first(low.size() - 1);
  const auto low_rest = low.subspan(1), high_rest = high.subspan(1);
  if (low[0] == high[0]) return rest(low[0], low[0], low_rest, high_rest);
  uint8_t first = low[0], last = high[0];
  const bool low_whole = std::equal(low_rest.begin(), low_rest.end(), least.begin()),
             high_whole = std::equal(high_rest.begin(), high_rest.end(), most.begin());
  if (!low_whole) rest(first, first, low_rest, most), ++first;
  if (!high_whole) rest(last, last, least, high_rest), --last;
  if (first <= last) rest(first, last, least, most);
}

void add_utf8_range(Grammar& g, Grammar::Node from, char32_t low, char32_t high, Grammar::Node to) {
  constexpr std::pair<char32_t, char32_t> kLengths[] = {
      {0, 0x7f}, {0x80, 0x7ff}, {0x800, 0xd7ff}, {0xe000, 0xffff}, {0x10000, kLast}};
  for (const auto& [least, most] : kLengths) {
    const char32_t a = std::max(low, least), b = std::min(high, most);
    if (a > b) continue;
    std::array<uint8_t, 4> first, last;
    const auto length = static_cast<size_t>(encode(a, first));
    encode(b, last);
    add_byte_range(g, from, std::span(first).first(length), std::span(last).first(length), to);
  }
}

void add_escaped(Grammar& g, Grammar::Node from, char32_t c, Grammar::Node to) {
  constexpr std::pair<char32_t, std::string_view> kShort[] = {
      {'"', "\\\""}, {'\\', "\\\\"}, {'\b', "\\b"}, {'\f', "\\f"}, {'\n', "\\n"}, {'\r', "\\r"}, {'\t', "\\t"}};
  std::string text = fmt::format("\\u{:04x}", static_cast<uint32_t>(c));
  for (const auto& [character, escape] : kShort)
    if (character == c) text = escape;
  g.add_epsilon(g.literal(from, text), to);
}

bool must_escape(char32_t c) { return c < 0x20 || c == '"' || c == '\\'; }

}  // namespace

CharacterSet::CharacterSet(Ranges ranges) {
  std::sort(ranges.begin(), ranges.end());
  for (const auto& [low, high] : ranges) {
    if (!ranges_.empty() && low <= ranges_.back().second + 1)
      ranges_.back().second = std::max(ranges_.back().second, high);
    else ranges_.push_back({low, high});
  }
}

CharacterSet CharacterSet::any() { return CharacterSet({{0, 0xd7ff}, {0xe000, kLast}}); }

CharacterSet CharacterSet::complement() const {
  Ranges others;
  char32_t next = 0;
  const auto gap = [&](char32_t low, char32_t end) {
    if (low < std::min<char32_t>(end, 0xd800)) others.push_back({low, std::min<char32_t>(end, 0xd800) - 1});
    if (std::max<char32_t>(low, 0xe000) < end) others.push_back({std::max<char32_t>(low, 0xe000), end - 1});
  };
  for (const auto& [low, high] : ranges_) {
    gap(next, low);
    next = high + 1;
  }
  gap(next, kLast + 1);
  return CharacterSet(std::move(others));
}

bool CharacterSet::contains(char32_t c) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [c](const auto& r) { return r.first <= c && c <= r.second; });
}

int32_t CharacterNfa::add_state() {
  if (states.size() >= kMaxStates)
    throw ConfigError(
        fmt::format("the pattern needs more than {} states; bound its repetitions more tightly", kMaxStates));
  states.emplace_back();
  return static_cast<int32_t>(states.size() - 1);
}

void CharacterNfa::add_edge(int32_t from, CharacterSet set, int32_t to) {
  ranges += set.ranges().size();
  if (ranges > kMaxRanges)
    throw ConfigError("the pattern's classes are too large for its repetitions; bound them more tightly");
  states[static_cast<size_t>(from)].edges.push_back({std::move(set), to});
}

bool CharacterNfa::matches(std::u32string_view text) const {
  int64_t visited = 0;
  const auto close = [&](std::set<int32_t> reached) {
    std::vector<int32_t> waiting(reached.begin(), reached.end());
    while (!waiting.empty()) {
      const int32_t state = waiting.back();
      waiting.pop_back();
      for (const int32_t to : states[static_cast<size_t>(state)].epsilon)
        if (reached.insert(to).second) waiting.push_back(to);
    }
    visited += static_cast<int64_t>(reached.size());
    if (visited > kMaxMatching) throw ConfigError("the pattern takes too long to match with a name; make it simpler");
    return reached;
  };
  std::set<int32_t> reached = close({start});
  for (const char32_t c : text) {
    std::set<int32_t> next;
    for (const int32_t state : reached)
      for (const Edge& edge : states[static_cast<size_t>(state)].edges)
        if (edge.set.contains(c)) next.insert(edge.to);
    reached = close(std::move(next));
  }
  return reached.contains(end);
}

std::u32string to_characters(std::string_view text) {
  std::u32string characters;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) throw ConfigError("the text is not valid UTF-8");
    char32_t c = static_cast<unsigned char>(text[0]);
    if (length > 1) c &= 0xff >> (length + 1);
    for (size_t i = 1; i < length; ++i) c = c << 6 | (static_cast<unsigned char>(text[i]) & 0x3f);
    characters += c;
    text.remove_prefix(length);
  }
  return characters;
}

CharacterNfa parse_regex(std::string_view pattern) { return RegexParser(pattern).parse(); }

// The product with a counter. A count beyond what matters stays at the largest that does.
CharacterNfa with_length(const CharacterNfa& nfa, int64_t least, std::optional<int64_t> most) {
  const int64_t top = most ? *most : least;
  CharacterNfa product;
  std::map<std::pair<int32_t, int64_t>, int32_t> known;
  std::vector<std::pair<int32_t, int64_t>> waiting;
  const auto at = [&](int32_t state, int64_t count) {
    const auto [place, is_new] = known.try_emplace({state, count}, 0);
    if (is_new) {
      place->second = product.add_state();
      waiting.push_back({state, count});
    }
    return place->second;
  };
  product.start = at(nfa.start, 0);
  product.end = product.add_state();
  while (!waiting.empty()) {
    const auto [state, count] = waiting.back();
    waiting.pop_back();
    const int32_t from = known.at({state, count});
    for (const int32_t to : nfa.states[static_cast<size_t>(state)].epsilon) {
      const int32_t target = at(to, count);
      product.states[static_cast<size_t>(from)].epsilon.push_back(target);
    }
    for (const CharacterNfa::Edge& edge : nfa.states[static_cast<size_t>(state)].edges) {
      if (most && count == *most) continue;
      const int32_t target = at(edge.to, std::min(count + 1, top));
      product.add_edge(from, edge.set, target);
    }
    if (state == nfa.end && count >= least) product.states[static_cast<size_t>(from)].epsilon.push_back(product.end);
  }
  return product;
}

void add_characters(Grammar& grammar, Grammar::Node from, const CharacterSet& set, Grammar::Node to, bool in_json) {
  for (auto [low, high] : set.ranges()) {
    if (!in_json) {
      add_utf8_range(grammar, from, low, high, to);
      continue;
    }
    for (char32_t c = low; c <= high && c <= '\\'; ++c)
      if (must_escape(c)) add_escaped(grammar, from, c, to);
    constexpr std::pair<char32_t, char32_t> kPlain[] = {{0x20, '!'}, {'#', '['}, {']', kLast}};
    for (const auto& [least, most] : kPlain) {
      const char32_t a = std::max(low, least), b = std::min(high, most);
      if (a <= b) add_utf8_range(grammar, from, a, b, to);
    }
  }
}

Grammar::Node add_nfa(Grammar& grammar, Grammar::Node from, const CharacterNfa& nfa, bool in_json) {
  std::vector<Grammar::Node> nodes;
  for (size_t i = 0; i < nfa.states.size(); ++i) nodes.push_back(grammar.add_node());
  const auto node_of = [&](int32_t state) { return nodes[static_cast<size_t>(state)]; };
  for (size_t i = 0; i < nfa.states.size(); ++i) {
    for (const int32_t to : nfa.states[i].epsilon) grammar.add_epsilon(nodes[i], node_of(to));
    for (const CharacterNfa::Edge& edge : nfa.states[i].edges)
      add_characters(grammar, nodes[i], edge.set, node_of(edge.to), in_json);
  }
  grammar.add_epsilon(from, node_of(nfa.start));
  return node_of(nfa.end);
}

}  // namespace starling

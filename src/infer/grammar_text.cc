#include "infer/grammar_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "core/error.h"
#include "infer/grammar_regex.h"

namespace starling {
namespace {

using Node = Grammar::Node;

constexpr int64_t kMaxRepeat = 10'000;

class GrammarParser {
 public:
  GrammarParser(std::string_view text, const GrammarLimits& limits)
      : text_(to_characters(text)), grammar_(std::make_shared<Grammar>(limits)) {}

  std::shared_ptr<const Grammar> parse() {
    for (skip_space(true); at_ < text_.size(); skip_space(true)) rule();
    for (const auto& [name, known] : rules_)
      if (!known.defined) throw ConfigError(fmt::format("grammar: the rule `{}` is used but not defined", name));
    const auto root = rules_.find("root");
    if (root == rules_.end()) throw ConfigError("grammar: there is no rule `root`");
    check_beginnings();
    try {
      grammar_->finish(root->second.rule);
    } catch (const ConfigError& error) {
      throw ConfigError(fmt::format("grammar: {}", error.what()));
    }
    return grammar_;
  }

 private:
  struct Rule {
    Grammar::Rule rule;
    bool defined = false;
    Node start = -1;
  };

  ConfigError wrong(std::string_view what) const {
    const auto begin = text_.begin(), here = begin + static_cast<long>(std::min(at_, text_.size()));
    const auto line = std::count(begin, here, U'\n') + 1;
    const auto line_start = std::find(std::make_reverse_iterator(here), text_.rend(), U'\n').base();
    return ConfigError(fmt::format("grammar: line {}, column {}: {}", line, here - line_start + 1, what));
  }
  char32_t peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : 0; }
  bool take(char32_t c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void skip_space(bool lines) {
    for (; at_ < text_.size(); ++at_) {
      const char32_t c = text_[at_];
      if (c == '#')
        while (at_ + 1 < text_.size() && text_[at_ + 1] != '\n') ++at_;
      else if (c != ' ' && c != '\t' && c != '\r' && !(lines && c == '\n')) return;
    }
  }
  static bool is_name(char32_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  }
  std::string name() {
    std::string name;
    for (; is_name(peek()); ++at_) name += static_cast<char>(peek());
    if (name.empty()) throw wrong("a rule's name is expected: letters, digits, - and _");
    return name;
  }
  Rule& rule_named(const std::string& name) {
    const auto [known, is_new] = rules_.try_emplace(name);
    if (is_new) known->second.rule = grammar_->declare_rule();
    return known->second;
  }

  void rule() {
    const std::string own = name();
    skip_space(false);
    if (!(take(':') && take(':') && take('='))) throw wrong("`::=` is expected");
    Rule& known = rule_named(own);
    if (known.defined) throw wrong(fmt::format("the rule `{}` is defined twice", own));
    known.defined = true;
    known.start = grammar_->add_node();
    const Node end = grammar_->add_node();
    grammar_->add_epsilon(alternatives(known.start, false), end);
    grammar_->define_rule(known.rule, known.start, end);
    skip_space(false);
    if (at_ < text_.size() && !take('\n')) throw wrong("the end of the line is expected");
  }

  Node alternatives(Node from, bool in_group) {
    if (++nesting_ > kMaxGroupNesting) throw wrong("groups are nested too deeply");
    const Node end = grammar_->add_node();
    do {
      const Node start = grammar_->add_node();
      grammar_->add_epsilon(from, start);
      grammar_->add_epsilon(sequence(start, in_group), end);
      if (!in_group) skip_lines_before_bar();
    } while (take('|'));
    --nesting_;
    return end;
  }
  // An alternative may stand on a line of its own, when that begins with `|`.
  void skip_lines_before_bar() {
    const size_t before = at_;
    skip_space(true);
    if (peek() != '|') at_ = before;
  }
  Node sequence(Node from, bool in_group) {
    for (;;) {
      skip_space(in_group);
      const char32_t c = peek();
      if (c == 0 || c == '|' || c == ')' || c == '\n') return from;
      from = repeated(from);
    }
  }
  Node repeated(Node from) {
    // An item becomes a rule of its own, so that a repetition does not copy it.
    const Grammar::Rule item = grammar_->declare_rule();
    const Node start = grammar_->add_node();
    const Node end = grammar_->add_node();
    grammar_->add_epsilon(this->item(start), end);
    grammar_->define_rule(item, start, end);
    int64_t least = 1, most = 1;
    quantifier(least, most);
    for (int64_t i = 0; i < least; ++i) from = grammar_->call(from, item);
    const Node last = grammar_->add_node();
    grammar_->add_epsilon(from, last);
    if (most < 0) grammar_->add_call(last, item, last);
    for (int64_t i = least; i < most; ++i) {
      from = grammar_->call(from, item);
      grammar_->add_epsilon(from, last);
    }
    return last;
  }
  void quantifier(int64_t& least, int64_t& most) {
    if (take('*')) least = 0, most = -1;
    else if (take('+')) least = 1, most = -1;
    else if (take('?')) least = 0, most = 1;
    else if (take('{')) {
      least = number();
      most = least;
      if (take(',')) most = peek() == '}' ? -1 : number();
      if (!take('}') || (most >= 0 && most < least)) throw wrong("a repetition is {m}, {m,} or {m,n}");
    }
  }
  int64_t number() {
    int64_t value = 0;
    const size_t begin = at_;
    for (; peek() >= '0' && peek() <= '9'; ++at_) {
      value = value * 10 + static_cast<int64_t>(peek() - '0');
      if (value > kMaxRepeat) throw wrong(fmt::format("a repetition is at most {}", kMaxRepeat));
    }
    if (begin == at_) throw wrong("a number is expected");
    return value;
  }

  Node item(Node from) {
    if (take('"')) return literal(from);
    if (take('(')) {
      const Node end = alternatives(from, true);
      if (!take(')')) throw wrong("a group is not closed");
      return end;
    }
    const Node to = grammar_->add_node();
    if (take('[')) add_characters(*grammar_, from, character_class(), to, false);
    else if (take('.')) add_characters(*grammar_, from, CharacterSet::any(), to, false);
    else grammar_->add_call(from, rule_named(name()).rule, to);
    return to;
  }
  Node literal(Node from) {
    while (peek() != '"') {
      if (at_ >= text_.size() || peek() == '\n') throw wrong("a literal is not closed");
      const char32_t c = character();
      const Node to = grammar_->add_node();
      add_characters(*grammar_, from, CharacterSet({{c, c}}), to, false);
      from = to;
    }
    ++at_;
    return from;
  }
  CharacterSet character_class() {
    const bool negated = take('^');
    std::vector<std::pair<char32_t, char32_t>> ranges;
    while (peek() != ']') {
      if (at_ >= text_.size() || peek() == '\n') throw wrong("a class is not closed");
      const char32_t low = character();
      char32_t high = low;
      if (peek() == '-' && peek(1) != ']') {
        ++at_;
        high = character();
      }
      if (high < low) throw wrong("a range of a class goes from one character up to another");
      ranges.push_back({low, high});
    }
    ++at_;
    const CharacterSet set(std::move(ranges));
    return negated ? set.complement() : set;
  }
  char32_t character() {
    const char32_t c = text_[at_++];
    if (c != '\\') return c;
    if (at_ >= text_.size()) throw wrong("an escape is not finished");
    const char32_t escape = text_[at_++];
    switch (escape) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'x':
        return hexadecimal(2);
      case 'u':
        return hexadecimal(4);
      case '\\':
      case '"':
      case ']':
      case '[':
      case '-':
      case '^':
      case '/':
        return escape;
      default:
        throw wrong("this escape is not known");
    }
  }
  char32_t hexadecimal(int digits) {
    char32_t value = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      const char32_t c = peek(), lower = c | 0x20;
      if (c >= '0' && c <= '9') value = value * 16 + (c - '0');
      else if (lower >= 'a' && lower <= 'f') value = value * 16 + (lower - 'a' + 10);
      else throw wrong("\\x takes two and \\u four hexadecimal digits");
    }
    return value;
  }

  // A rule that calls itself before it took a byte would be read forever.
  void check_beginnings() const {
    std::map<Node, int> colour;  // 1: being visited, 2: done
    for (const auto& [name, known] : rules_)
      if (!begins_well(known.start, colour))
        throw ConfigError(fmt::format("grammar: the rule `{}` uses itself as its own beginning", name));
  }
  bool begins_well(Node node, std::map<Node, int>& colour) const {
    std::vector<std::pair<Node, bool>> stack{{node, false}};
    while (!stack.empty()) {
      const auto [at, leaving] = stack.back();
      stack.pop_back();
      if (leaving) {
        colour[at] = 2;
        continue;
      }
      if (colour[at] == 2) continue;
      if (colour[at] == 1) return false;
      colour[at] = 1;
      stack.push_back({at, true});
      // Only rule calls matter: a loop of empty moves within a rule ends by itself.
      std::set<Node> reached = without_bytes(at);
      for (const Node from : reached)
        for (const Grammar::Call& call : grammar_->state(from).calls)
          stack.push_back({grammar_->start_of(call.rule), false});
    }
    return true;
  }
  std::set<Node> without_bytes(Node node) const {
    std::set<Node> reached{node};
    std::vector<Node> waiting{node};
    while (!waiting.empty()) {
      const Node at = waiting.back();
      waiting.pop_back();
      for (const Node to : grammar_->state(at).epsilon)
        if (reached.insert(to).second) waiting.push_back(to);
    }
    return reached;
  }

  std::u32string text_;
  size_t at_ = 0;
  int nesting_ = 0;
  std::shared_ptr<Grammar> grammar_;
  std::map<std::string, Rule> rules_;
};

}  // namespace

std::shared_ptr<const Grammar> parse_grammar(std::string_view text, const GrammarLimits& limits) {
  return GrammarParser(text, limits).parse();
}

}  // namespace starling

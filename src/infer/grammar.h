// A language of byte strings as a recursive transition network: rules are automata over bytes that may call each other.
//   node --bytes [low, high]--> node     node --nothing--> node     node --all of rule R--> node
// Built by json_schema.h and grammar_text.h, run by grammar_automaton.h.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace starling {

// What building one grammar may take. Passing a limit throws ConfigError, which names the limit.
struct GrammarLimits {
  int32_t nodes = 100'000;
  double seconds = 0.5;
};

class Grammar {
 public:
  using Node = int32_t;
  using Rule = int32_t;
  static constexpr int32_t kNever = INT32_MAX;  // a distance: the end cannot be reached
  static int32_t add_distances(int32_t a, int32_t b) { return a > kNever - b ? kNever : a + b; }

  explicit Grammar(const GrammarLimits& limits = {});

  Node add_node();
  void add_bytes(Node from, uint8_t low, uint8_t high, Node to);
  void add_epsilon(Node from, Node to);
  void add_call(Node from, Rule rule, Node to);
  Rule declare_rule();
  void define_rule(Rule rule, Node start, Node end);

  // Each appends to `from` and returns the node after what it appended.
  Node literal(Node from, std::string_view bytes);
  Node call(Node from, Rule rule);
  Node optional_literal(Node from, std::string_view bytes);

  // Ends the building: `root` is the language. Throws ConfigError when no text belongs to it.
  void finish(Rule root);

  struct Edge {
    uint8_t low, high;
    Node to;
  };
  struct Call {
    Rule rule;
    Node to;
  };
  struct State {
    std::vector<Edge> bytes;
    std::vector<Node> epsilon;
    std::vector<Call> calls;
    bool final = false;  // the end of its rule
    // From here to the end of the rule, set by finish():
    int32_t distance = kNever;  // fewest bytes
    int32_t nesting = kNever;   // fewest levels of rules under way in each other; a call that ends the rule adds none
  };
  const State& state(Node node) const { return states_[static_cast<size_t>(node)]; }
  bool is_end(Node node) const;  // of its rule, and nothing else follows
  Node start_of(Rule rule) const { return starts_[static_cast<size_t>(rule)]; }
  Node root_start() const { return start_of(root_); }
  int64_t node_count() const { return static_cast<int64_t>(states_.size()); }
  size_t bytes() const { return bytes_; }  // of memory, about; set by finish()
  void check_time() const;                 // throws ConfigError when the building takes too long

 private:
  int32_t distance_by(const State& state) const;
  int32_t nesting_by(const State& state) const;

  GrammarLimits limits_;
  double deadline_s_;
  std::vector<State> states_;
  std::vector<Node> starts_;  // of each rule; -1: declared only
  Rule root_ = 0;
  size_t bytes_ = 0;
};

}  // namespace starling

#include "infer/grammar.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/time.h"

namespace starling {

Grammar::Grammar(const GrammarLimits& limits) : limits_(limits), deadline_s_(monotonic_s() + limits.seconds) {}

void Grammar::check_time() const {
  if (monotonic_s() > deadline_s_)
    throw ConfigError(fmt::format("it takes more than {} s to compile; make it smaller", limits_.seconds));
}

Grammar::Node Grammar::add_node() {
  if (node_count() >= limits_.nodes)
    throw ConfigError(fmt::format("it needs more than {} states; bound its repetitions more tightly", limits_.nodes));
  if (node_count() % 256 == 0) check_time();
  states_.emplace_back();
  return static_cast<Node>(states_.size() - 1);
}

void Grammar::add_bytes(Node from, uint8_t low, uint8_t high, Node to) {
  states_[static_cast<size_t>(from)].bytes.push_back({low, high, to});
}

void Grammar::add_epsilon(Node from, Node to) { states_[static_cast<size_t>(from)].epsilon.push_back(to); }

void Grammar::add_call(Node from, Rule rule, Node to) {
  states_[static_cast<size_t>(from)].calls.push_back({rule, to});
}

Grammar::Rule Grammar::declare_rule() {
  starts_.push_back(-1);
  return static_cast<Rule>(starts_.size() - 1);
}

void Grammar::define_rule(Rule rule, Node start, Node end) {
  starts_[static_cast<size_t>(rule)] = start;
  states_[static_cast<size_t>(end)].final = true;
}

Grammar::Node Grammar::literal(Node from, std::string_view bytes) {
  for (const char c : bytes) {
    const Node next = add_node();
    add_bytes(from, static_cast<uint8_t>(c), static_cast<uint8_t>(c), next);
    from = next;
  }
  return from;
}

Grammar::Node Grammar::call(Node from, Rule rule) {
  const Node next = add_node();
  add_call(from, rule, next);
  return next;
}

Grammar::Node Grammar::optional_literal(Node from, std::string_view bytes) {
  const Node end = literal(from, bytes);
  add_epsilon(from, end);
  return end;
}

bool Grammar::is_end(Node node) const {
  const State& s = state(node);
  return s.final && s.bytes.empty() && s.epsilon.empty() && s.calls.empty();
}

int32_t Grammar::distance_by(const State& state) const {
  int32_t best = state.final ? 0 : kNever;
  for (const Edge& edge : state.bytes) best = std::min(best, add_distances(1, this->state(edge.to).distance));
  for (const Node to : state.epsilon) best = std::min(best, this->state(to).distance);
  for (const Call& call : state.calls)
    best = std::min(best, add_distances(this->state(start_of(call.rule)).distance, this->state(call.to).distance));
  return best;
}

int32_t Grammar::nesting_by(const State& state) const {
  int32_t best = state.final ? 0 : kNever;
  for (const Edge& edge : state.bytes) best = std::min(best, this->state(edge.to).nesting);
  for (const Node to : state.epsilon) best = std::min(best, this->state(to).nesting);
  for (const Call& call : state.calls) {
    const int32_t inside = add_distances(is_end(call.to) ? 0 : 1, this->state(start_of(call.rule)).nesting);
    best = std::min(best, std::max(inside, this->state(call.to).nesting));
  }
  return best;
}

// Distances by relaxation until nothing changes: later nodes first, because most edges lead to later nodes.
void Grammar::finish(Rule root) {
  root_ = root;
  for (bool changed = true; changed;) {
    check_time();
    changed = false;
    for (size_t i = states_.size(); i-- > 0;) {
      State& s = states_[i];
      const int32_t distance = std::min(distance_by(s), s.distance), nesting = std::min(nesting_by(s), s.nesting);
      changed |= distance < s.distance || nesting < s.nesting;
      s.distance = distance, s.nesting = nesting;
    }
  }
  if (state(root_start()).distance == kNever) throw ConfigError("no text can satisfy it");
  for (State& s : states_) {
    std::erase_if(s.bytes, [&](const Edge& edge) { return state(edge.to).distance == kNever; });
    std::erase_if(s.epsilon, [&](Node to) { return state(to).distance == kNever; });
    std::erase_if(s.calls, [&](const Call& call) {
      return add_distances(state(start_of(call.rule)).distance, state(call.to).distance) == kNever;
    });
    bytes_ += sizeof(State) + s.bytes.capacity() * sizeof(Edge) + s.epsilon.capacity() * sizeof(Node) +
              s.calls.capacity() * sizeof(Call);
  }
}

}  // namespace starling

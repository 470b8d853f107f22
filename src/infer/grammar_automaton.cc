#include "infer/grammar_automaton.h"

#include <algorithm>
#include <set>

#include "core/error.h"

namespace starling {
namespace {

constexpr size_t kMapNode = 48;  // bytes of a std::map's node beside its value

}  // namespace

GrammarAutomaton::GrammarAutomaton(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {
  frames_.push_back({-1, -1, 0, 0});
  start_ = intern({{grammar_->root_start(), 0}});
  // Texts there are, but each is inside of rules too deep to follow: there is no state to start from.
  if (start_ == kDead) throw ConfigError("its rules are nested too deeply; make it simpler");
}

// Before anything is added, so that what is there stays right for the other generations that use it.
void GrammarAutomaton::take(size_t bytes) {
  if (bytes_ + bytes > kMaxBytes)
    throw ConfigError("the text so far needs too much memory to follow; make the grammar simpler");
  bytes_ += bytes;
}

// A rule that ends where its caller ends returns to the caller's caller, so that lists do not grow the stack.
GrammarAutomaton::FrameId GrammarAutomaton::push(Grammar::Node to, FrameId parent) {
  if (grammar_->is_end(to)) return parent;
  if (const auto known = known_frames_.find({to, parent}); known != known_frames_.end()) return known->second;
  take(sizeof(Frame) + sizeof(*known_frames_.begin()) + kMapNode);
  const auto made = static_cast<FrameId>(frames_.size());
  const Frame& outer = frames_[static_cast<size_t>(parent)];
  frames_.push_back(
      {to, parent, outer.depth + 1, Grammar::add_distances(outer.distance, grammar_->state(to).distance)});
  known_frames_.emplace(std::pair{to, parent}, made);
  return made;
}

int32_t GrammarAutomaton::distance_of(const Place& place) const {
  return Grammar::add_distances(grammar_->state(place.node).distance,
                                frames_[static_cast<size_t>(place.frame)].distance);
}

bool GrammarAutomaton::can_end(Grammar::Node node, FrameId frame) const {
  return Grammar::add_distances(frames_[static_cast<size_t>(frame)].depth, grammar_->state(node).nesting) <= kMaxDepth;
}

// Follows everything that takes no byte; keeps the places that take one.
void GrammarAutomaton::close(std::vector<Place>& places, bool& accepts) {
  std::set<Place> seen;
  std::vector<Place> waiting;
  const auto visit = [&](Grammar::Node node, FrameId frame) {
    if (can_end(node, frame) && seen.insert({node, frame}).second) waiting.push_back({node, frame});
  };
  for (const Place& place : places) visit(place.node, place.frame);
  places.clear();
  while (!waiting.empty()) {
    const Place place = waiting.back();
    waiting.pop_back();
    ++work_;
    if (seen.size() > kMaxPlaces)
      throw ConfigError("the text so far can be read in too many ways; make the alternatives differ earlier");
    const Grammar::State& state = grammar_->state(place.node);
    if (!state.bytes.empty()) places.push_back(place);
    for (const Grammar::Node to : state.epsilon) visit(to, place.frame);
    const Frame frame = frames_[static_cast<size_t>(place.frame)];
    for (const Grammar::Call& call : state.calls)
      if (can_end(call.to, place.frame)) visit(grammar_->start_of(call.rule), push(call.to, place.frame));
    if (state.final && place.frame == 0) accepts = true;
    else if (state.final) visit(frame.to, frame.parent);
  }
  std::sort(places.begin(), places.end());
}

GrammarAutomaton::StateId GrammarAutomaton::intern(std::vector<Place> reached) {
  if (reached.empty()) return kDead;
  bool accepts = false;
  close(reached, accepts);
  if (reached.empty() && !accepts) return kDead;
  std::pair key{std::move(reached), accepts};
  if (const auto known = known_states_.find(key); known != known_states_.end()) return known->second;
  take(sizeof(State) + sizeof(*known_states_.begin()) + kMapNode + key.first.size() * sizeof(Place));
  const auto made = static_cast<StateId>(states_.size());
  const std::vector<Place>& places = known_states_.emplace(std::move(key), made).first->first.first;
  State state{.places = &places, .accepts = accepts};
  state.distance = accepts ? 0 : Grammar::kNever;
  for (const Place& place : places) state.distance = std::min(state.distance, distance_of(place));
  states_.push_back(std::move(state));
  return made;
}

GrammarAutomaton::StateId GrammarAutomaton::step(StateId from, uint8_t byte) {
  if (from == kDead) return kDead;
  auto& table = states_[static_cast<size_t>(from)].next;
  if (!table) {
    take(sizeof(*table));
    table = std::make_unique<std::array<StateId, 256>>();
    table->fill(kUnknown);
  }
  const StateId known = (*table)[byte];
  if (known != kUnknown) return known;
  std::vector<Place> reached;
  for (const Place& place : *states_[static_cast<size_t>(from)].places) {
    for (const Grammar::Edge& edge : grammar_->state(place.node).bytes)
      if (edge.low <= byte && byte <= edge.high) reached.push_back({edge.to, place.frame});
  }
  work_ += states_[static_cast<size_t>(from)].places->size();
  const StateId to = intern(std::move(reached));
  (*states_[static_cast<size_t>(from)].next)[byte] = to;
  return to;
}

}  // namespace starling

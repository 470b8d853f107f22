// A grammar run byte by byte. Its states are made when they are first met and kept: a state is the set of places in the
// grammar (node, stack of return nodes) that the bytes so far can have led to.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "infer/grammar.h"

namespace starling {

// Not thread-safe. Every method that makes states throws ConfigError when one of the limits is passed.
class GrammarAutomaton {
 public:
  using StateId = int32_t;
  static constexpr StateId kDead = -1;  // no text of the language begins so
  static constexpr size_t kMaxBytes = size_t{64} << 20, kMaxPlaces = 2'000;
  // Of nested rules. What can only be ended by deeper ones is dropped, so every state has a way to an end.
  static constexpr int32_t kMaxDepth = 256;

  explicit GrammarAutomaton(std::shared_ptr<const Grammar> grammar);

  StateId start() const { return start_; }
  StateId step(StateId state, uint8_t byte);
  bool accepts(StateId state) const { return states_[static_cast<size_t>(state)].accepts; }
  bool goes_on(StateId state) const { return !states_[static_cast<size_t>(state)].places->empty(); }
  int32_t distance(StateId state) const { return states_[static_cast<size_t>(state)].distance; }  // bytes to an end
  size_t bytes() const { return bytes_; }                                                         // of memory, about
  uint64_t work() const { return work_; }  // places visited so far: what the time is proportional to

 private:
  using FrameId = int32_t;
  struct Frame {
    Grammar::Node to;  // where the rule under way returns to
    FrameId parent;
    int32_t depth, distance;
  };
  struct Place {
    Grammar::Node node;
    FrameId frame;
    auto operator<=>(const Place&) const = default;
  };
  static constexpr StateId kUnknown = -2;
  struct State {
    const std::vector<Place>* places;  // sorted; only nodes that take bytes. In known_states_
    bool accepts = false;
    int32_t distance = 0;
    std::unique_ptr<std::array<StateId, 256>> next;
  };

  void take(size_t bytes);  // throws ConfigError when they are more than there may be
  FrameId push(Grammar::Node to, FrameId parent);
  int32_t distance_of(const Place& place) const;
  bool can_end(Grammar::Node node, FrameId frame) const;
  StateId intern(std::vector<Place> reached);
  void close(std::vector<Place>& places, bool& accepts);

  std::shared_ptr<const Grammar> grammar_;
  std::vector<Frame> frames_;  // frame 0 is the outside
  std::map<std::pair<Grammar::Node, FrameId>, FrameId> known_frames_;
  std::vector<State> states_;
  std::map<std::pair<std::vector<Place>, bool>, StateId> known_states_;
  StateId start_ = kDead;
  uint64_t work_ = 0;
  size_t bytes_ = 0;
};

}  // namespace starling

// For fuzz targets: writes a text of a grammar, byte by byte, and follows it to an end.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "infer/grammar_automaton.h"

namespace starling {

// Chooses among the bytes that may come by the bytes of `choices`, then the way to the nearest end. Aborts when a state
// that says an end can be reached has no such way. Empty when the text or the
// work grows too long; throws as the automaton does.
inline std::string walk_grammar(const std::shared_ptr<const Grammar>& grammar, std::string_view choices) {
  constexpr size_t kMostBytes = 400;
  constexpr uint64_t kMostWork = 200'000;  // the automaton of an ambiguous grammar has many places in each state
  GrammarAutomaton automaton(grammar);
  GrammarAutomaton::StateId state = automaton.start();
  std::string text;
  for (size_t i = 0; i < kMostBytes && automaton.work() < kMostWork; ++i) {
    if (i >= choices.size() && automaton.accepts(state)) return text;
    if (!automaton.goes_on(state)) {
      if (!automaton.accepts(state)) std::abort();
      return text;
    }
    int best = -1;
    int32_t nearest = Grammar::kNever;
    for (int offset = 0; offset < 256; ++offset) {
      const int byte = i < choices.size() ? (static_cast<uint8_t>(choices[i]) + offset) % 256 : offset;
      const GrammarAutomaton::StateId next = automaton.step(state, static_cast<uint8_t>(byte));
      if (next == GrammarAutomaton::kDead || automaton.distance(next) >= nearest) continue;
      best = byte;
      if (i < choices.size()) break;
      nearest = automaton.distance(next);
    }
    if (best < 0) std::abort();
    state = automaton.step(state, static_cast<uint8_t>(best));
    text += static_cast<char>(best);
  }
  return {};
}

}  // namespace starling

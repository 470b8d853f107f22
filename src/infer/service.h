// Who asks and how urgently, and what the engine did for all.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace starling {

enum class Priority { interactive, batch };  // batch work runs in the room that interactive work leaves

struct Service {
  Priority priority = Priority::interactive;
  std::string tenant;     // tenants of one priority share the engine evenly, and no prefix of one serves another
  bool speculate = true;  // guess tokens from the text itself; the output is the same
  // Becomes true when nobody waits for the result any more: the work ends at the next step, wherever it is, and gives
  // its pages back. Null: somebody always does.
  std::shared_ptr<const std::atomic<bool>> cancelled;

  bool is_cancelled() const { return cancelled && *cancelled; }
};

// Counted since the engine was made.
struct EngineStats {
  uint64_t steps = 0, prompt_tokens = 0, decoded_tokens = 0;
  uint64_t cached_tokens = 0;  // of prompts, not computed again
  uint64_t guessed_tokens = 0, right_guesses = 0;
  uint64_t preemptions = 0;
  int64_t jobs = 0;                                     // now, those under way and those that wait
  int64_t pages = 0, pages_used = 0, pages_cached = 0;  // now; of 16 positions
};

}  // namespace starling

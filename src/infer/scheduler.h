// Runs the sequences of all callers on one thread: each step is one batch that takes some tokens of every job in turn,
// so a long prompt does not block a short one and decoding sequences share each reading of the weights. What a sequence
// gets does not depend on the others.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "infer/decoder.h"

namespace starling {

// Tokens to run, and what to do with the results. The virtual functions are called on the scheduler's thread, in the
// order of positions; `tokens` may grow in take_logits.
class Sequence {
 public:
  explicit Sequence(std::vector<TokenId> prompt) : tokens(std::move(prompt)) {}
  virtual ~Sequence() = default;

  virtual bool wants_logits(int64_t) const { return false; }
  virtual void take_hidden(int64_t, std::span<const float>) {}  // the last hidden state, after the final norm
  virtual void take_logits(int64_t, std::span<const float>) {}
  virtual bool ended() const { return false; }  // before all tokens ran

  std::vector<TokenId> tokens;

 private:
  friend class Scheduler;
  int64_t left() const { return static_cast<int64_t>(tokens.size()) - (cache ? cache->length : 0); }
  std::optional<KvCache> cache;
  bool finished = false;
};

class Scheduler {
 public:
  explicit Scheduler(Decoder& decoder);
  ~Scheduler();  // ends the work that waits; call run() no more

  // Blocks until every sequence (of at least one token) ended or ran all its tokens. After each step that had a part in
  // it calls `on_step` on the calling thread; an exception of on_step or of the step ends the job and is rethrown.
  // Thread-safe.
  void run(std::span<Sequence* const> sequences, const std::function<void()>& on_step = {});

 private:
  struct Job {
    std::deque<Sequence*> sequences;  // the front ones are under way
    bool decoding = false;            // its last turn was one token
    uint64_t steps = 0;
    bool cancelled = false, running = false, done = false;
    std::exception_ptr error;
  };
  struct Turn {
    Job* job;
    Sequence* sequence;
    std::span<const TokenId> tokens;
  };

  void loop();
  std::vector<Turn> next_batch();
  void take_turns(Job& job, int64_t most, std::vector<Turn>& batch);
  void step(std::vector<Turn>& batch);
  void deliver_logits(const std::vector<Turn>& batch, std::span<const float> hidden);
  void finish(std::vector<Turn>& batch, std::exception_ptr error);

  Decoder& decoder_;
  KvPagePool pages_;
  std::mutex mutex_;
  std::condition_variable work_, progress_;
  std::deque<Job*> jobs_;
  bool stop_ = false;
  std::vector<float> logits_;
  std::thread thread_;
};

}  // namespace starling

// Runs the sequences of all callers on one thread: each step is one batch that mixes the next tokens of those that
// decode with parts of the prompts of others, so a long prompt does not block a short one and decoding sequences share
// each reading of the weights. What a sequence gets does not depend on the others, on the prefix cache, on preemption
// or on speculation: the decoder gives a position the same bits in every batch.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "infer/decoder.h"
#include "infer/ngram_draft.h"
#include "infer/prefix_cache.h"
#include "infer/service.h"

namespace starling {

// Tokens to run, and what to do with the results. The virtual functions are called by the scheduler, one at a time for
// a sequence but for several sequences at once, in the order of positions and once a position; `tokens` may grow in
// take_logits.
class Sequence {
 public:
  explicit Sequence(std::vector<TokenId> prompt) : tokens(std::move(prompt)) {}
  virtual ~Sequence() = default;

  virtual bool wants_logits(int64_t) const { return false; }
  virtual void take_hidden(int64_t, std::span<const float>) {}  // the last hidden state, after the final norm
  virtual void take_logits(int64_t, std::span<const float>) {}
  virtual bool ended() const { return false; }  // before all tokens ran
  // That it may come to have; pages are kept for some hundred of them beyond `tokens`.
  virtual int64_t most_positions() const { return static_cast<int64_t>(tokens.size()); }
  // Leading positions whose results nobody reads: their keys and values may come from the prefix cache.
  virtual int64_t unread_positions() const { return 0; }
  virtual bool speculates() const { return false; }  // take_logits appends tokens that are worth guessing

  std::vector<TokenId> tokens;
  int64_t cached_positions() const { return cached_; }  // that came from the prefix cache at the start

 private:
  friend class Scheduler;
  int64_t left() const { return static_cast<int64_t>(tokens.size()) - (cache ? cache->length : 0); }
  bool runs() const { return pages > 0 && !finished; }
  bool decodes() const { return cache && cache->length > 0 && left() == 1; }

  std::optional<KvCache> cache;
  PrefixCache::Chain chain;
  DraftLength draft_length;
  int64_t delivered = 0, cached_ = 0;  // positions whose results were taken
  int64_t pages = 0;                   // kept for it; 0: it waits
  bool finished = false;
};

class Scheduler {
 public:
  // `capacity`: positions of keys and values in memory, at least the decoder's max_positions.
  Scheduler(Decoder& decoder, int64_t capacity, CacheForm form = CacheForm::f16);
  ~Scheduler();  // ends the work that waits; call run() no more

  // Blocks until every sequence (of at least one token) ended or ran all its tokens, or service.is_cancelled(), which
  // is asked before every step. After each step that had a part in it calls `on_step` on the calling thread; an
  // exception of on_step or of the step ends the job and is rethrown. Throws DataError for a sequence of more positions
  // than the model has. Thread-safe.
  void run(std::span<Sequence* const> sequences, const std::function<void()>& on_step = {},
           const Service& service = {});
  // Forgets the prefixes that no sequence needs any more, and will not keep those of sequences under way.
  void forget_prefixes();
  EngineStats stats() const;

 private:
  struct Job {
    std::deque<Sequence*> sequences;  // the front ones are under way
    Service service;
    uint64_t steps = 0;
    bool cancelled = false, running = false, done = false;
    std::exception_ptr error;
    std::condition_variable progress;
  };
  struct Turn {
    Job* job;
    Sequence* sequence;
    std::vector<TokenId> tokens;  // the sequence's next, then guesses
    int64_t first = 0;            // position
    int64_t known = 0;            // how many of them are the sequence's
    int64_t right_guesses = 0;
    bool guess(int64_t index) const { return index >= known; }
  };

  void check(const Sequence& sequence) const;
  void loop();
  void run_step();
  void fail_jobs(const std::exception_ptr& error);
  std::vector<Turn> next_batch();
  std::vector<Job*> ranked_jobs() const;
  void share_pages(const std::vector<Job*>& ranked);
  void admit(const std::vector<Job*>& ranked, int64_t pages);
  int64_t preempt_one(const std::vector<Job*>& ranked, Priority most_urgent);
  void begin(Sequence& sequence, const Job& job);
  void reserve(Sequence& sequence, int64_t positions);
  Turn make_turn(Job& job, Sequence& sequence, int64_t most, int64_t guesses);
  void step(std::vector<Turn>& batch);
  void deliver(std::vector<Turn>& batch, std::span<const float> hidden);
  void deliver_turn(Turn& turn, std::span<const float> hidden, std::span<const int64_t> logits_rows);
  void finish(const std::vector<Turn>& batch, std::exception_ptr error);
  void finish_job(Job& job);

  Decoder& decoder_;
  KvPagePool pages_;
  PrefixCache prefixes_;
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<Job*> jobs_;
  std::map<std::string, uint64_t> served_;  // tokens of each tenant that has a job
  EngineStats stats_;
  bool stop_ = false;
  std::vector<float> logits_;
  std::thread thread_;
};

}  // namespace starling

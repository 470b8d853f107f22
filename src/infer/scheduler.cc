#include "infer/scheduler.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/threads.h"
#include "infer/prompt_shares.h"

namespace starling {
namespace {

constexpr int64_t kBatchTokens = 512;           // of one step
constexpr int64_t kPromptBesideDecoding = 128;  // of them for prompts while others wait for their next token
// For which a sequence has pages when it begins, and again when it has used them. Answers are often shorter than what
// their clients allow; one that is longer asks for more in time, once in so many steps.
constexpr int64_t kPositionsAhead = 256;
// Guesses cost little only while a step is bound by reading the weights.
constexpr size_t kMostGuessing = 4;

int64_t positions_of(const Sequence& sequence) { return static_cast<int64_t>(sequence.tokens.size()); }

int64_t most_positions_of(const Sequence& sequence) {
  return std::max(sequence.most_positions(), positions_of(sequence));
}

int64_t pages_ahead(const Sequence& sequence) {
  return pages_for(std::min(most_positions_of(sequence), positions_of(sequence) + kPositionsAhead));
}

}  // namespace

Scheduler::Scheduler(Decoder& decoder, int64_t capacity, CacheForm form)
    : decoder_(decoder),
      pages_(decoder.config(), form, pages_for(std::max(capacity, decoder.config().max_positions))),
      thread_([this] { loop(); }) {}

Scheduler::~Scheduler() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  thread_.join();
}

void Scheduler::run(std::span<Sequence* const> sequences, const std::function<void()>& on_step,
                    const Service& service) {
  for (const Sequence* sequence : sequences) check(*sequence);
  Job job{.sequences = {sequences.begin(), sequences.end()}, .service = service};
  std::unique_lock lock(mutex_);
  // A tenant that comes back has no claim from the time it was away.
  uint64_t least = UINT64_MAX;
  for (const auto& [tenant, tokens] : served_) least = std::min(least, tokens);
  served_.emplace(service.tenant, served_.empty() ? 0 : least);
  jobs_.push_back(&job);
  work_.notify_all();
  uint64_t seen = 0;
  const auto withdraw = [&] {  // the job lies on this stack: the scheduler must have let go of it
    job.cancelled = true;
    job.progress.wait(lock, [&] { return !job.running; });
    for (Sequence* sequence : job.sequences) sequence->cache.reset();  // others may be given its pages from now on
    std::erase(jobs_, &job);
  };
  while (!job.done) {
    job.progress.wait(lock, [&] { return job.done || job.steps != seen; });
    seen = job.steps;
    if (!on_step) continue;
    lock.unlock();
    try {
      on_step();
      lock.lock();
    } catch (...) {
      lock.lock();
      withdraw();
      throw;
    }
  }
  if (job.error) std::rethrow_exception(job.error);
  if (on_step && job.steps != seen) {  // the job ended during the last call: what came after it is still to be told
    lock.unlock();
    on_step();
  }
}

void Scheduler::check(const Sequence& sequence) const {
  const int64_t most = most_positions_of(sequence);
  if (most > decoder_.config().max_positions)
    throw DataError(
        fmt::format("{} tokens are more than the model's {} positions", most, decoder_.config().max_positions));
}

void Scheduler::forget_prefixes() {
  std::lock_guard lock(mutex_);
  prefixes_.clear();
  stats_.pages_cached = 0;
}

EngineStats Scheduler::stats() const {
  std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.jobs = static_cast<int64_t>(jobs_.size());
  stats.pages = pages_.capacity();
  stats.pages_used = pages_.capacity() - pages_.available();
  return stats;
}

void Scheduler::loop() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [&] {
        return stop_ || std::any_of(jobs_.begin(), jobs_.end(), [](Job* job) { return !job->cancelled; });
      });
      if (stop_) break;
    }
    try {
      run_step();
    } catch (const std::exception& error) {
      // Between steps: nobody knows how far which job came. Without them the state is that of the beginning.
      spdlog::error("the inference engine failed, and all its jobs with it: {}", error.what());
      fail_jobs(std::current_exception());
    }
  }
  fail_jobs(std::make_exception_ptr(IoError("the inference engine is shutting down")));
}

void Scheduler::run_step() {
  std::vector<Turn> batch;
  {
    std::lock_guard lock(mutex_);
    batch = next_batch();
  }
  std::exception_ptr error;
  try {
    step(batch);
  } catch (...) {
    error = std::current_exception();
  }
  std::lock_guard lock(mutex_);
  finish(batch, error);
}

void Scheduler::fail_jobs(const std::exception_ptr& error) {
  std::lock_guard lock(mutex_);
  for (Job* job : jobs_) {
    for (Sequence* sequence : job->sequences) sequence->cache.reset();
    job->error = error;
    job->running = false;
    job->done = true;
    job->progress.notify_all();
  }
  jobs_.clear();
  served_.clear();
}

// The most urgent first: interactive before batch, then the tenant that was served least, then who came first.
std::vector<Scheduler::Job*> Scheduler::ranked_jobs() const {
  std::vector<Job*> ranked;
  for (Job* job : jobs_)
    if (!job->cancelled) ranked.push_back(job);
  std::stable_sort(ranked.begin(), ranked.end(), [&](const Job* a, const Job* b) {
    if (a->service.priority != b->service.priority) return a->service.priority < b->service.priority;
    return served_.at(a->service.tenant) < served_.at(b->service.tenant);
  });
  return ranked;
}

// Keeps pages for the sequences that run: first, by rank, for those under way, at whose need the last in rank give
// theirs back, then for those that wait. The first in rank always fits alone, so the work goes on.
void Scheduler::share_pages(const std::vector<Job*>& ranked) {
  int64_t pages = 0;
  for (const Job* job : ranked)
    for (const Sequence* sequence : job->sequences) pages += sequence->pages;
  for (Job* job : ranked) {
    for (Sequence* sequence : job->sequences) {
      if (!sequence->runs() || pages_for(positions_of(*sequence)) <= sequence->pages) continue;
      pages += pages_ahead(*sequence) - std::exchange(sequence->pages, pages_ahead(*sequence));
      while (pages > pages_.capacity()) pages -= preempt_one(ranked, Priority::interactive);
    }
  }
  admit(ranked, pages);
}

// Lets sequences begin, by rank, while there is room beside the pages that are kept; interactive work takes the place
// of batch work. None passes another that waits for room, so a long prompt is not kept out by short ones.
void Scheduler::admit(const std::vector<Job*>& ranked, int64_t pages) {
  for (Job* job : ranked) {
    for (Sequence* sequence : job->sequences) {
      if (sequence->pages > 0 || sequence->finished) continue;
      const int64_t needed = pages_ahead(*sequence);
      while (pages + needed > pages_.capacity()) {
        const int64_t given = job->service.priority == Priority::interactive ? preempt_one(ranked, Priority::batch) : 0;
        if (given == 0) return;
        pages -= given;
      }
      sequence->pages = needed;
      pages += needed;
    }
  }
}

// The sequence that ranks last gives its pages back, if its priority is `most_urgent` or less; it will compute them
// again from its tokens. Returns how many were kept for it, 0 when there is none.
int64_t Scheduler::preempt_one(const std::vector<Job*>& ranked, Priority most_urgent) {
  for (auto job = ranked.rbegin(); job != ranked.rend() && (*job)->service.priority >= most_urgent; ++job) {
    for (auto victim = (*job)->sequences.rbegin(); victim != (*job)->sequences.rend(); ++victim) {
      if ((*victim)->pages == 0) continue;
      if ((*victim)->cache) ++stats_.preemptions;
      (*victim)->cache.reset();
      return std::exchange((*victim)->pages, 0);
    }
  }
  return 0;
}

// Every decoding sequence gets its next token, and the prompts share what is left.
std::vector<Scheduler::Turn> Scheduler::next_batch() {
  const std::vector<Job*> ranked = ranked_jobs();
  for (Job* job : ranked) {
    job->running = true;
    for (Sequence* sequence : job->sequences) sequence->finished = sequence->ended() || job->service.is_cancelled();
  }
  share_pages(ranked);
  size_t decoding = 0;
  std::vector<WaitingPrompt> prompts;
  for (const Job* job : ranked) {
    prompts.push_back({&job->service, 0});
    for (const Sequence* sequence : job->sequences) {
      if (!sequence->runs()) continue;
      if (sequence->decodes()) ++decoding;
      else prompts.back().tokens += sequence->left();
    }
  }
  int64_t prompt_tokens = kBatchTokens - std::min<int64_t>(kBatchTokens - 1, static_cast<int64_t>(decoding));
  if (decoding > 0) prompt_tokens = std::min(prompt_tokens, kPromptBesideDecoding);
  const std::vector<int64_t> shares = prompt_shares(prompts, prompt_tokens);

  std::vector<Turn> batch;
  for (size_t i = 0; i < ranked.size(); ++i) {
    Job& job = *ranked[i];
    int64_t share = shares[i];
    for (Sequence* sequence : job.sequences) {
      if (!sequence->runs()) continue;
      const bool decodes = sequence->decodes();
      if (!decodes && share <= 0) continue;
      if (!sequence->cache) begin(*sequence, job);
      const bool guesses = decodes && decoding <= kMostGuessing && job.service.speculate && sequence->speculates();
      batch.push_back(make_turn(job, *sequence, decodes ? 1 : share, guesses ? sequence->draft_length.next() : 0));
      (decodes ? stats_.decoded_tokens : stats_.prompt_tokens) += static_cast<uint64_t>(batch.back().known);
      if (!decodes) share -= batch.back().known;
    }
  }
  return batch;
}

// The prefix cache may know the first positions.
void Scheduler::begin(Sequence& sequence, const Job& job) {
  sequence.cache.emplace(pages_);
  sequence.chain = prefixes_.begin(job.service.tenant);
  const int64_t known = std::max(sequence.unread_positions(), sequence.delivered);
  const auto most = std::min<int64_t>(known, static_cast<int64_t>(sequence.tokens.size()) - 1);
  prefixes_.restore(sequence.chain, *sequence.cache, std::span(sequence.tokens).first(most));
  if (sequence.delivered == 0) sequence.cached_ = sequence.cache->length;
  stats_.cached_tokens += static_cast<uint64_t>(sequence.cache->length);
  sequence.delivered = std::max(sequence.delivered, sequence.cache->length);
}

// What no sequence holds, the prefix cache does.
void Scheduler::reserve(Sequence& sequence, int64_t positions) {
  const int64_t needed = pages_for(positions) - sequence.cache->page_count();
  while (pages_.available() < needed && prefixes_.evict()) {
  }
  sequence.cache->reserve(positions);
}

Scheduler::Turn Scheduler::make_turn(Job& job, Sequence& sequence, int64_t most, int64_t guesses) {
  const int64_t first = sequence.cache->length;
  const std::span<const TokenId> next = std::span(sequence.tokens).subspan(first, std::min(most, sequence.left()));
  Turn turn{&job, &sequence, {next.begin(), next.end()}, first, static_cast<int64_t>(next.size())};
  if (guesses > 0) {
    const int64_t room = std::min(sequence.most_positions(), sequence.pages * kPagePositions) - first - 1;
    const std::span<const TokenId> draft = ngram_draft(sequence.tokens, std::min(guesses, room));
    turn.tokens.insert(turn.tokens.end(), draft.begin(), draft.end());
  }
  reserve(sequence, first + static_cast<int64_t>(turn.tokens.size()));
  served_[job.service.tenant] += turn.tokens.size();
  return turn;
}

void Scheduler::step(std::vector<Turn>& batch) {
  if (batch.empty()) return;
  std::vector<BatchSpan> spans;
  for (const Turn& turn : batch) spans.push_back({&*turn.sequence->cache, turn.tokens});
  deliver(batch, decoder_.forward(spans));
}

// A guess's logits are computed before it is known whether the guess is right, and left unread if it is not. Choosing a
// token reads the whole vocabulary, as much work for 32 sequences as a block of a small model: the threads share them.
void Scheduler::deliver(std::vector<Turn>& batch, std::span<const float> hidden) {
  const auto width = static_cast<size_t>(decoder_.config().hidden_size);
  std::vector<float> states;
  std::vector<int64_t> logits_rows;  // of each row of `hidden`: its row of logits, -1 for none
  std::vector<size_t> first_rows;    // of each turn
  int64_t wanted = 0;
  for (const Turn& turn : batch) {
    first_rows.push_back(logits_rows.size());
    for (int64_t i = 0; i < static_cast<int64_t>(turn.tokens.size()); ++i) {
      const int64_t position = turn.first + i;
      const bool wants =
          turn.guess(i) || (position >= turn.sequence->delivered && turn.sequence->wants_logits(position));
      const std::span<const float> state = hidden.subspan(logits_rows.size() * width, width);
      if (wants) states.insert(states.end(), state.begin(), state.end());
      logits_rows.push_back(wants ? wanted++ : -1);
    }
  }
  logits_.resize(static_cast<size_t>(wanted * decoder_.config().vocab_size));
  decoder_.logits(states, logits_);
  SharedItems turns(static_cast<int64_t>(batch.size()), 1);
  parallel_for(turns.ranges(), 1, [&](int64_t range, int64_t) {
    for (int64_t turn; (turn = turns.take(range)) >= 0;) {
      const size_t row = first_rows[static_cast<size_t>(turn)];
      deliver_turn(batch[static_cast<size_t>(turn)], hidden.subspan(row * width), std::span(logits_rows).subspan(row));
    }
  });
}

// `hidden` and `logits_rows` begin with this turn's rows.
void Scheduler::deliver_turn(Turn& turn, std::span<const float> hidden, std::span<const int64_t> logits_rows) {
  Sequence& sequence = *turn.sequence;
  const auto width = static_cast<size_t>(decoder_.config().hidden_size);
  const auto vocab = static_cast<size_t>(decoder_.config().vocab_size);
  const auto count = static_cast<int64_t>(turn.tokens.size());
  int64_t right = 0;
  for (; right < count && !(right > 0 && sequence.ended()); ++right) {
    const int64_t position = turn.first + right;
    const bool wrong = static_cast<int64_t>(sequence.tokens.size()) <= position ||
                       sequence.tokens[static_cast<size_t>(position)] != turn.tokens[static_cast<size_t>(right)];
    if (turn.guess(right) && wrong) break;
    if (position < sequence.delivered) continue;
    sequence.take_hidden(position, hidden.subspan(static_cast<size_t>(right) * width, width));
    if (sequence.wants_logits(position)) {
      const auto row = static_cast<size_t>(logits_rows[static_cast<size_t>(right)]);
      sequence.take_logits(position, std::span<const float>(logits_).subspan(row * vocab, vocab));
    }
    sequence.delivered = position + 1;
  }
  sequence.cache->length = turn.first + right;
  if (count == turn.known) return;
  turn.right_guesses = std::max<int64_t>(0, right - turn.known);
  sequence.draft_length.learn(count - turn.known, turn.right_guesses);
}

void Scheduler::finish(const std::vector<Turn>& batch, std::exception_ptr error) {
  for (const Turn& turn : batch) {
    Sequence& sequence = *turn.sequence;
    if (!error) prefixes_.store(sequence.chain, *sequence.cache, sequence.tokens);
    sequence.finished = error || sequence.ended() || sequence.left() <= 0;
    if (error) turn.job->error = error;
    ++turn.job->steps;
    stats_.guessed_tokens += turn.tokens.size() - static_cast<size_t>(turn.known);
    stats_.right_guesses += static_cast<uint64_t>(turn.right_guesses);
  }
  for (Job* job : jobs_)
    if (job->running) finish_job(*job);
  std::erase_if(jobs_, [](Job* job) { return job->done; });
  std::erase_if(served_, [&](const auto& tenant) {
    return std::none_of(jobs_.begin(), jobs_.end(), [&](Job* job) { return job->service.tenant == tenant.first; });
  });
  ++stats_.steps;
  stats_.pages_cached = prefixes_.size();
}

void Scheduler::finish_job(Job& job) {
  job.running = false;
  for (Sequence* sequence : job.sequences) {
    if (job.error || job.cancelled) sequence->finished = true;
    if (sequence->finished) sequence->cache.reset();
  }
  std::erase_if(job.sequences, [](const Sequence* sequence) { return sequence->finished; });
  job.done = job.sequences.empty();
  job.progress.notify_all();
}

}  // namespace starling

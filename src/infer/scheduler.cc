#include "infer/scheduler.h"

#include <algorithm>

#include "core/error.h"

namespace starling {
namespace {

constexpr size_t kActiveJobs = 16;     // the others wait: each holds a cache of up to max_positions
constexpr int64_t kBatchTokens = 256;  // of one step
constexpr int64_t kTurnBesideDecoding =
    16;  // tokens of a prompt in one step while another job waits for its next token

}  // namespace

Scheduler::Scheduler(Decoder& decoder) : decoder_(decoder), pages_(decoder.config()), thread_([this] { loop(); }) {}

Scheduler::~Scheduler() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  thread_.join();
}

void Scheduler::run(std::span<Sequence* const> sequences, const std::function<void()>& on_step) {
  Job job{.sequences = {sequences.begin(), sequences.end()}};
  std::unique_lock lock(mutex_);
  jobs_.push_back(&job);
  work_.notify_all();
  uint64_t seen = 0;
  const auto withdraw = [&] {  // the job lies on this stack: the scheduler must have let go of it
    job.cancelled = true;
    progress_.wait(lock, [&] { return !job.running; });
    std::erase(jobs_, &job);
  };
  while (!job.done) {
    progress_.wait(lock, [&] { return job.done || job.steps != seen; });
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

void Scheduler::loop() {
  for (;;) {
    std::vector<Turn> batch;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [&] {
        return stop_ || std::any_of(jobs_.begin(), jobs_.end(), [](Job* job) { return !job->cancelled; });
      });
      if (stop_) break;
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
  std::lock_guard lock(mutex_);
  for (Job* job : jobs_) {
    job->error = std::make_exception_ptr(IoError("the inference engine is shutting down"));
    job->done = true;
  }
  jobs_.clear();
  progress_.notify_all();
}

std::vector<Scheduler::Turn> Scheduler::next_batch() {
  std::vector<Turn> batch;
  const size_t active = std::min(jobs_.size(), kActiveJobs);
  const auto decoding = static_cast<size_t>(
      std::count_if(jobs_.begin(), jobs_.begin() + static_cast<long>(active), [](Job* job) { return job->decoding; }));
  const int64_t share = std::max<int64_t>(1, kBatchTokens / static_cast<int64_t>(active));
  for (size_t i = 0; i < active; ++i) {
    const bool beside_decoding = decoding > (jobs_[i]->decoding ? 1u : 0u);
    if (!jobs_[i]->cancelled)
      take_turns(*jobs_[i], beside_decoding ? std::min(share, kTurnBesideDecoding) : share, batch);
  }
  return batch;
}

void Scheduler::take_turns(Job& job, int64_t most, std::vector<Turn>& batch) {
  int64_t taken = 0;
  for (Sequence* sequence : job.sequences) {
    if (taken == most) break;
    if (!sequence->cache) sequence->cache.emplace(pages_);
    const int64_t count = std::min(most - taken, sequence->left());
    if (count <= 0) continue;
    batch.push_back(
        {&job, sequence, std::span<const TokenId>(sequence->tokens).subspan(sequence->cache->length, count)});
    taken += count;
  }
  job.decoding = taken == 1;
  job.running = true;
}

void Scheduler::step(std::vector<Turn>& batch) {
  if (batch.empty()) return;
  std::vector<BatchSpan> spans;
  for (const Turn& turn : batch) spans.push_back({&*turn.sequence->cache, turn.tokens});
  const std::span<const float> hidden = decoder_.forward(spans);
  const auto width = static_cast<size_t>(decoder_.config().hidden_size);
  size_t row = 0;
  for (const Turn& turn : batch) {
    const int64_t first = turn.sequence->cache->length - static_cast<int64_t>(turn.tokens.size());
    for (size_t i = 0; i < turn.tokens.size(); ++i, ++row) {
      turn.sequence->take_hidden(first + static_cast<int64_t>(i), hidden.subspan(row * width, width));
    }
  }
  deliver_logits(batch, hidden);
}

void Scheduler::deliver_logits(const std::vector<Turn>& batch, std::span<const float> hidden) {
  struct Wanted {
    Sequence* sequence;
    int64_t position;
  };
  const auto width = static_cast<size_t>(decoder_.config().hidden_size);
  const auto vocab = static_cast<size_t>(decoder_.config().vocab_size);
  std::vector<Wanted> wanted;
  std::vector<float> rows;
  size_t row = 0;
  for (const Turn& turn : batch) {
    const int64_t first = turn.sequence->cache->length - static_cast<int64_t>(turn.tokens.size());
    for (size_t i = 0; i < turn.tokens.size(); ++i, ++row) {
      if (!turn.sequence->wants_logits(first + static_cast<int64_t>(i))) continue;
      wanted.push_back({turn.sequence, first + static_cast<int64_t>(i)});
      rows.insert(rows.end(), hidden.begin() + static_cast<long>(row * width),
                  hidden.begin() + static_cast<long>((row + 1) * width));
    }
  }
  logits_.resize(wanted.size() * vocab);
  decoder_.logits(rows, logits_);
  for (size_t i = 0; i < wanted.size(); ++i) {
    wanted[i].sequence->take_logits(wanted[i].position, std::span<const float>(logits_).subspan(i * vocab, vocab));
  }
}

void Scheduler::finish(std::vector<Turn>& batch, std::exception_ptr error) {
  for (const Turn& turn : batch) {
    if (!turn.sequence->ended() && turn.sequence->left() > 0) continue;
    turn.sequence->finished = true;
    turn.sequence->cache.reset();
  }
  for (Job* job : jobs_) {
    if (!job->running) continue;
    job->running = false;
    if (error) {
      job->error = error;
      job->sequences.clear();
    }
    std::erase_if(job->sequences, [](const Sequence* sequence) { return sequence->finished; });
    ++job->steps;
    job->done = job->sequences.empty();
  }
  std::erase_if(jobs_, [](Job* job) { return job->done; });
  progress_.notify_all();
}

}  // namespace starling

#include "core/threads.h"

#include <fmt/format.h>
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/time.h"

namespace starling {
namespace {

std::vector<int> allowed_processors() {
  cpu_set_t set;
  std::vector<int> processors;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &set)) processors.push_back(cpu);
  if (processors.empty()) processors.push_back(0);
  return processors;
}

std::atomic<int> requested_threads{0};

// How long a thread looks for a change before it sleeps. Waking a sleeper takes 10 us or more, as long as a small
// product of matrices; the next one mostly follows sooner. Meanwhile it yields, so that other work of this machine goes
// on.
constexpr double kLookS = 50e-6;
constexpr int kLooksBeforeYielding = 64;  // about a microsecond

// Returns when `value` is no longer `old`; may return earlier.
template <class T>
void await_change(const std::atomic<T>& value, T old) {
  const double start_s = monotonic_s();
  for (int look = 0; value.load(std::memory_order_acquire) == old; ++look) {
    if (look < kLooksBeforeYielding) {
      _mm_pause();
    } else if (monotonic_s() - start_s < kLookS) {
      sched_yield();
    } else {
      return value.wait(old, std::memory_order_acquire);
    }
  }
}

int64_t ranges_of(int64_t count, int64_t grain, int64_t threads) {
  return std::clamp<int64_t>(count / std::max<int64_t>(grain, 1), 1, threads);
}

// The calling thread does the first range, workers the others; but a range that its worker has not begun by the time
// the caller is done is the caller's too, so that a worker without a processor, or asleep, holds nobody up.
class Pool {
 public:
  explicit Pool(int threads) : claims_(static_cast<size_t>(threads)) {
    const std::vector<int> processors = allowed_processors();
    for (int worker = 1; worker < threads; ++worker)
      threads_.emplace_back([this, worker, cpu = processors[worker % processors.size()]] { run(worker, cpu); });
  }

  ~Pool() {
    stop_ = true;
    call_ += uint64_t{1} << kRangeBits;
    call_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void execute(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
    const int64_t ranges = ranges_of(count, grain, threads());
    if (ranges == 1) return body(0, count);
    std::lock_guard turn(turn_);
    body_ = &body;
    count_ = count;
    failure_ = nullptr;
    pending_ = static_cast<int>(ranges);
    const uint64_t number = (call_.load(std::memory_order_relaxed) >> kRangeBits) + 1;
    call_.store(number << kRangeBits | static_cast<uint64_t>(ranges));
    call_.notify_all();
    for (int64_t range = 0; range < ranges; ++range) run_unless_claimed(number, range, ranges);
    while (const int pending = pending_.load(std::memory_order_acquire)) await_change(pending_, pending);
    if (failure_) std::rethrow_exception(failure_);
  }

  int threads() const { return static_cast<int>(threads_.size()) + 1; }

 private:
  static constexpr int kRangeBits = 16;

  // Each range of a call is claimed once. After a call the caller has claimed what was left, so a worker that comes too
  // late finds its range taken and does not look at the call, which has ended.
  void run_unless_claimed(uint64_t number, int64_t range, int64_t ranges) {
    std::atomic<uint64_t>& latest = claims_[static_cast<size_t>(range)].call;
    uint64_t claimed = latest.load(std::memory_order_relaxed);
    do {
      if (claimed >= number) return;
    } while (!latest.compare_exchange_weak(claimed, number, std::memory_order_acq_rel));
    run_range(range, ranges);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_one();
  }

  void run_range(int64_t range, int64_t ranges) {
    try {
      (*body_)(count_ * range / ranges, count_ * (range + 1) / ranges);
    } catch (...) {
      std::lock_guard lock(failing_);
      if (!failure_) failure_ = std::current_exception();
    }
  }

  void run(int worker, int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    uint64_t seen = 0;
    for (;;) {
      uint64_t call;
      while ((call = call_.load(std::memory_order_acquire)) == seen) await_change(call_, seen);
      seen = call;
      if (stop_) return;
      const auto ranges = static_cast<int64_t>(call & ((1 << kRangeBits) - 1));
      if (worker < ranges) run_unless_claimed(call >> kRangeBits, worker, ranges);
    }
  }

  struct alignas(64) Claim {
    std::atomic<uint64_t> call = 0;  // the latest whose range of this number was claimed
  };

  std::vector<Claim> claims_;
  std::vector<std::thread> threads_;
  std::mutex turn_, failing_;
  // The number of the call and, in one word with it, how many ranges it has.
  std::atomic<uint64_t> call_{0};
  std::atomic<int> pending_{0};  // ranges that are not done
  const std::function<void(int64_t, int64_t)>* body_ = nullptr;
  int64_t count_ = 0;
  std::exception_ptr failure_;
  std::atomic<bool> stop_{false};
};

Pool& pool() {
  static Pool pool(compute_threads());
  return pool;
}

}  // namespace

int compute_threads() {
  const int requested = requested_threads.load();
  return requested > 0 ? requested : static_cast<int>(allowed_processors().size());
}

void set_compute_threads(int count) {
  if (count < 1 || count > CPU_SETSIZE)
    throw ConfigError(fmt::format("threads must be from 1 to {}, not {}", CPU_SETSIZE, count));
  requested_threads = count;
}

SharedItems::SharedItems(int64_t count, int64_t grain)
    : ranges_(static_cast<size_t>(ranges_of(count, grain, compute_threads()))) {
  for (int64_t range = 0; range < ranges(); ++range) {
    ranges_[static_cast<size_t>(range)].next = count * range / ranges();
    ranges_[static_cast<size_t>(range)].end = count * (range + 1) / ranges();
  }
}

int64_t SharedItems::take(int64_t range) {
  for (int64_t i = 0; i < ranges(); ++i) {
    Range& from = ranges_[static_cast<size_t>((range + i) % ranges())];
    if (from.next.load(std::memory_order_relaxed) >= from.end) continue;
    const int64_t item = from.next.fetch_add(1, std::memory_order_relaxed);
    if (item < from.end) return item;
  }
  return -1;
}

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (count > 0) pool().execute(count, grain, body);
}

}  // namespace starling

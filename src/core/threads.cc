#include "core/threads.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/error.h"

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

// The calling thread does the first range; workers the others. Workers sleep on a condition variable: a spinning worker
// would take the processor from other work of the same machine.
class Pool {
 public:
  explicit Pool(int threads) {
    const std::vector<int> processors = allowed_processors();
    for (int worker = 1; worker < threads; ++worker)
      threads_.emplace_back([this, worker, cpu = processors[worker % processors.size()]] { run(worker, cpu); });
  }

  ~Pool() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void execute(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
    const int64_t ranges = std::clamp<int64_t>(count / std::max<int64_t>(grain, 1), 1, threads());
    if (ranges == 1) return body(0, count);
    std::lock_guard turn(turn_);
    {
      std::lock_guard lock(mutex_);
      body_ = &body;
      count_ = count;
      ranges_ = ranges;
      pending_ = ranges - 1;
      failure_ = nullptr;
      ++generation_;
    }
    wake_.notify_all();
    run_range(0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return pending_ == 0; });
    if (failure_) std::rethrow_exception(failure_);
  }

  int threads() const { return static_cast<int>(threads_.size()) + 1; }

 private:
  void run_range(int64_t range) {
    try {
      (*body_)(count_ * range / ranges_, count_ * (range + 1) / ranges_);
    } catch (...) {
      std::lock_guard lock(mutex_);
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
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
        if (stop_) return;
        seen = generation_;
        if (worker >= ranges_) continue;
      }
      run_range(worker);
      std::lock_guard lock(mutex_);
      if (--pending_ == 0) done_.notify_one();
    }
  }

  std::vector<std::thread> threads_;
  std::mutex turn_, mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int64_t, int64_t)>* body_ = nullptr;
  int64_t count_ = 0, ranges_ = 0, pending_ = 0;
  uint64_t generation_ = 0;
  std::exception_ptr failure_;
  bool stop_ = false;
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
  if (count < 1) throw ConfigError("threads must be at least 1");
  requested_threads = count;
}

void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (count > 0) pool().execute(count, grain, body);
}

}  // namespace starling

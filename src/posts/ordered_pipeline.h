// Work in batches on several threads; what is made of them is taken in the order of the batches, so the result does not
// depend on the number of threads. Every thread does every stage: it makes a batch, works on it, and takes whatever is
// ready in order, so none waits for a stage that has a thread of its own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace starling {

template <typename Batch>
class OrderedPipeline {
 public:
  struct Stages {
    std::function<bool(Batch&)> make;  // the next batch, one call at a time; false at the end
    std::function<void(Batch&)> work;  // any thread, any order
    std::function<void(Batch&)> take;  // in the order of make(), one call at a time
  };

  explicit OrderedPipeline(Stages stages) : stages_(std::move(stages)) {}

  // Returns when every batch is taken. At most 3 * threads batches exist at once. The first exception of a stage ends
  // all and is rethrown.
  void run(int threads) {
    max_ahead_ = 3 * static_cast<uint64_t>(threads);
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back([this] { run_thread(); });
    run_thread();
    for (std::thread& thread : others) thread.join();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void run_thread() {
    try {
      uint64_t number = 0;
      for (Batch batch; make(batch, number); batch = Batch()) {
        stages_.work(batch);
        take(number, std::move(batch));
      }
    } catch (...) {
      fail();
    }
  }

  void fail() {  // with the exception that is being handled
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
    changed_.notify_all();
  }

  bool make(Batch& batch, uint64_t& number) {
    const std::lock_guard turn(make_turn_);
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return failure_ || made_ - taken_ < max_ahead_; });
      if (failure_ || ended_) return false;
    }
    bool more = false;
    try {
      more = stages_.make(batch);
    } catch (...) {
      fail();  // before the next thread has its turn, which would go on behind the gap
      return false;
    }
    const std::lock_guard lock(mutex_);
    if (more) number = made_++;
    else ended_ = true;
    return more;
  }

  // Leaves the batch for whoever takes; becomes that one when nobody is and the next batch is there.
  void take(uint64_t number, Batch&& batch) {
    std::unique_lock lock(mutex_);
    ready_.emplace(number, std::move(batch));
    if (taking_) return;
    taking_ = true;
    while (!failure_ && !ready_.empty() && ready_.begin()->first == taken_) {
      auto next = ready_.extract(ready_.begin());
      lock.unlock();
      try {
        stages_.take(next.mapped());
      } catch (...) {
        lock.lock();
        if (!failure_) failure_ = std::current_exception();
        break;
      }
      lock.lock();
      ++taken_;
      changed_.notify_all();
    }
    taking_ = false;
    changed_.notify_all();
  }

  Stages stages_;
  std::mutex make_turn_, mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, Batch> ready_;
  uint64_t made_ = 0, taken_ = 0, max_ahead_ = 0;
  bool taking_ = false, ended_ = false;
  std::exception_ptr failure_;
};

}  // namespace starling

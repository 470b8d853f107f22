// Threads that do the blocking work of requests, fed by a bounded queue: when it is full the caller is told so at once.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace starling {

class WorkerPool {
 public:
  WorkerPool(int threads, size_t max_queued);
  ~WorkerPool() { stop(); }
  void stop();                                // runs what is queued, then ends the threads; idempotent
  bool try_post(std::function<void()> work);  // false: the queue is full or the pool is ending. `work` must not throw
  size_t queued() const;

 private:
  void run();
  const size_t max_queued_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  bool ending_ = false;
  size_t idle_ = 0;  // threads that wait for work
  std::vector<std::thread> threads_;
};

}  // namespace starling

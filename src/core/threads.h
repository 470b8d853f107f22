// One pool of pinned worker threads for compute. Work is split in fixed contiguous ranges, so a result does not depend
// on which thread is faster; nor is there a thread for each range: what a worker has not begun, the caller does. Not
// re-entrant: a body must not call parallel_for.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

namespace starling {

int compute_threads();                // default: the number of processors this process may use
void set_compute_threads(int count);  // before the first parallel_for; throws ConfigError unless 1 to 1024

// Calls body(begin, end) on ranges that cover [0, count), at most one a thread, none smaller than `grain` unless it is
// the last. Returns when all are done. An exception of a body is rethrown. Calls from several threads take turns.
void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& body);

// The items [0, count), for work whose result does not depend on who does which. Cut into contiguous ranges, one a
// thread; a thread that is done with its own takes over what others have left, so that none waits for one that was held
// up:
//   SharedItems items(count, grain);
//   parallel_for(items.ranges(), 1, [&](int64_t range, int64_t) {
//     for (int64_t item; (item = items.take(range)) >= 0;) ...
//   });
class SharedItems {
 public:
  SharedItems(int64_t count, int64_t grain);
  int64_t ranges() const { return static_cast<int64_t>(ranges_.size()); }
  int64_t take(int64_t range);  // the next of this range, or of another; -1: none is left

 private:
  struct alignas(64) Range {
    std::atomic<int64_t> next;
    int64_t end;
  };
  std::vector<Range> ranges_;
};

}  // namespace starling

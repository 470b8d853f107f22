// One pool of pinned worker threads for compute. Work is split in fixed contiguous ranges, so a result does not depend
// on which thread is faster. Not re-entrant: a body must not call parallel_for.
#pragma once

#include <cstdint>
#include <functional>

namespace starling {

int compute_threads();                // default: the number of processors this process may use
void set_compute_threads(int count);  // before the first parallel_for; throws ConfigError for count < 1

// Calls body(begin, end) on ranges that cover [0, count), at most one a thread, none smaller than `grain` unless it is
// the last. Returns when all are done. An exception of a body is rethrown. Calls from several threads take turns.
void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace starling

#include "posts/row_progress.h"

#include <algorithm>

#include "core/error.h"
#include "core/stop.h"

namespace starling {

void end_prepare_if_stopped() {
  if (stop_requested()) throw Error("prepare was interrupted; the shards are as they were");
}

RowProgress::RowProgress(const PrepareProgress& progress, std::string stage, uint64_t rows, uint64_t passes)
    : progress_(progress), stage_(std::move(stage)), rows_(rows), passes_(passes) {}

void RowProgress::say() {
  const std::lock_guard lock(mutex_);
  end_prepare_if_stopped();
  progress_(stage_, std::min(begun_ / passes_, rows_), rows_);
  begun_ += kRows;
}

}  // namespace starling

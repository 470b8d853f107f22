// How far a stage of prepare is that passes over rows: said every so many rows, and the place where a stop ends it.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "posts/prepare.h"

namespace starling {

// Throws Error when stop_requested().
void end_prepare_if_stopped();

// For any number of threads at once; `progress` is called by one at a time.
class RowProgress {
 public:
  // Of a stage that passes `passes` times over `rows` rows.
  RowProgress(const PrepareProgress& progress, std::string stage, uint64_t rows, uint64_t passes);

  // Before row i, counted from 0, of a pass. Throws as end_prepare_if_stopped().
  void next(uint64_t i) {
    if (i % kRows == 0) say();
  }

 private:
  static constexpr uint64_t kRows = 1 << 16;

  void say();

  const PrepareProgress& progress_;
  const std::string stage_;
  const uint64_t rows_, passes_;
  std::mutex mutex_;
  uint64_t begun_ = 0;  // rows of all passes, in steps of kRows
};

}  // namespace starling

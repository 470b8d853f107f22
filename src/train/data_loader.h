// Training batches out of samples: whole epochs in an order that is a function of (seed, epoch), samples packed back to
// back into sequences of T places. A sample of n tokens gives n places: <|beginofpost|> and its tokens but the last are
// read, its tokens are the targets. What does not fit into a sequence goes on at the start of the next one.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/batch.h"
#include "train/sample_source.h"

namespace starling {

// The next place to be read. All that a resumed run needs.
struct DataCursor {
  int64_t epoch = 0;
  int64_t position = 0;  // in the epoch's order of samples
  int64_t token = 0;     // in the sample
  friend bool operator==(const DataCursor&, const DataCursor&) = default;
};

class DataLoader {
 public:
  // on_read gets every sample that enters a batch, again in each epoch. Throws DataError when the source is empty.
  DataLoader(SampleSource source, uint64_t seed, int32_t begin_token, DataCursor cursor = {},
             std::function<void(const Sample&)> on_read = {});

  // Masked samples are passed over. Throws DataError when every sample of an epoch is masked.
  Batch next(int64_t sequences, int64_t length);
  DataCursor cursor() const { return cursor_; }

 private:
  void start_epoch();
  bool load_sample();  // false at the end of the epoch
  void fill_sequence(Batch& batch, int64_t first, int64_t length);

  SampleSource source_;
  uint64_t seed_;
  int32_t begin_token_;
  std::function<void(const Sample&)> on_read_;
  DataCursor cursor_;
  std::vector<uint32_t> order_;
  Sample sample_;
  bool loaded_ = false;
};

// The order of an epoch's samples.
std::vector<uint32_t> epoch_order(uint64_t count, uint64_t seed, int64_t epoch);

}  // namespace starling

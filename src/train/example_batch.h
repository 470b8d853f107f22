// Examples for fine-tuning as batches of the model.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/batch.h"
#include "tokenizer/tokenizer.h"

namespace starling {

// What the model reads, from the begin token on; the last `answer_tokens` of it are what it is to say. The last token
// is only said, never read.
struct FineTuneExample {
  std::vector<TokenId> tokens;
  int64_t answer_tokens = 0;

  int64_t places() const { return static_cast<int64_t>(tokens.size()) - 1; }
};

struct PackedExamples {
  Batch batch;
  std::vector<int64_t> begins;  // of each example: its first place in the batch
};

// Rows of `length` places that examples share, one behind the other and blind to each other, filled in the order given.
// Unused places see only themselves and are not scored. Throws ShapeError for an example that is longer.
PackedExamples pack_examples(std::span<const FineTuneExample* const> examples, int64_t length);

// How many such rows they take.
int64_t packed_rows(std::span<const FineTuneExample* const> examples, int64_t length);

// A row for each example, as long as the longest.
Batch one_example_a_row(std::span<const FineTuneExample* const> examples);

}  // namespace starling

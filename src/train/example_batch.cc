#include "train/example_batch.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace starling {
namespace {

// Writes an example from place `at` of the batch on; `start` is that place within its row.
void write_example(Batch& batch, size_t at, int64_t start, const FineTuneExample& example) {
  const int64_t n = example.places(), first_answer = n - example.answer_tokens;
  for (int64_t i = 0; i < n; ++i, ++at) {
    batch.tokens[at] = example.tokens[static_cast<size_t>(i)];
    batch.targets[at] = i < first_answer ? -1 : example.tokens[static_cast<size_t>(i) + 1];
    batch.positions[at] = static_cast<int32_t>(i);
    batch.document_starts[at] = static_cast<int32_t>(start);
  }
}

Batch empty_batch(int64_t rows, int64_t length) {
  const auto size = static_cast<size_t>(rows * length);
  Batch batch{rows,
              length,
              std::vector<int32_t>(size, 0),
              std::vector<int32_t>(size, -1),
              std::vector<int32_t>(size, 0),
              std::vector<int32_t>(size)};
  for (size_t i = 0; i < size; ++i) batch.document_starts[i] = static_cast<int32_t>(static_cast<int64_t>(i) % length);
  return batch;
}

// The first place of each example in rows of `length`, and behind them the end of the last row.
std::vector<int64_t> place_examples(std::span<const FineTuneExample* const> examples, int64_t length) {
  std::vector<int64_t> begins;
  int64_t next = 0;
  for (const FineTuneExample* example : examples) {
    const int64_t n = example->places(), left = length - next % length;
    if (n > length) throw ShapeError(fmt::format("an example of {} places does not fit a row of {}", n, length));
    if (n > left) next += left;
    begins.push_back(next);
    next += n;
  }
  begins.push_back((next + length - 1) / length * length);
  return begins;
}

}  // namespace

PackedExamples pack_examples(std::span<const FineTuneExample* const> examples, int64_t length) {
  PackedExamples packed{{}, place_examples(examples, length)};
  packed.batch = empty_batch(packed.begins.back() / length, length);
  packed.begins.pop_back();
  for (size_t i = 0; i < examples.size(); ++i)
    write_example(packed.batch, static_cast<size_t>(packed.begins[i]), packed.begins[i] % length, *examples[i]);
  return packed;
}

int64_t packed_rows(std::span<const FineTuneExample* const> examples, int64_t length) {
  return place_examples(examples, length).back() / length;
}

Batch one_example_a_row(std::span<const FineTuneExample* const> examples) {
  int64_t length = 1;
  for (const FineTuneExample* example : examples) length = std::max(length, example->places());
  Batch batch = empty_batch(static_cast<int64_t>(examples.size()), length);
  for (size_t i = 0; i < examples.size(); ++i) write_example(batch, i * static_cast<size_t>(length), 0, *examples[i]);
  return batch;
}

}  // namespace starling

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/threads.h"
#include "ops/linear.h"
#include "ops/linear_cross_entropy.h"
#include "ops/profile.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

constexpr int64_t kRowGrain = 8;

struct RowSum {
  float sum = 0;             // of e^(logit - largest)
  float log_normaliser = 0;  // log sum_v e^logit
};

// Leaves e^(logit - largest) in the row and sets the row's loss.
STARLING_INLINE inline RowSum exponentials(float* __restrict logits, int64_t V, int32_t target, float& nats) {
  float largest = logits[0];
#pragma omp simd reduction(max : largest)
  for (int64_t v = 0; v < V; ++v) largest = std::max(largest, logits[v]);
  const float wanted = target < 0 ? 0.0f : logits[target];
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t v = 0; v < V; ++v) {
    logits[v] = fast_exp(logits[v] - largest);
    sum += logits[v];
  }
  const float log_normaliser = largest + std::log(sum);
  nats = target < 0 ? 0.0f : log_normaliser - wanted;
  return {sum, log_normaliser};
}

// d loss / d logit = scale (softmax (1 + 2 z_loss log_normaliser) - 1[v = target])
template <class T>
STARLING_INLINE inline void gradient_row(T* __restrict gradient, const float* __restrict exponentials,
                                         const RowSum& row, int64_t V, int32_t target, const CrossEntropyLoss& loss) {
  const float scale = loss.scale;
  const float factor = target < 0 ? 0.0f : scale * (1.0f + 2.0f * loss.z_loss * row.log_normaliser) / row.sum;
  for (int64_t v = 0; v < V; ++v) gradient[v] = from_float<T>(exponentials[v] * factor);
  if (target >= 0) gradient[target] = from_float<T>(exponentials[target] * factor - scale);
}

void check(const ConstTensor& nats, const ConstTensor& hidden, const ConstTensor& weight, const ConstTensor& targets) {
  const int64_t N = hidden.extent(0), V = weight.extent(0);
  require_shape(weight, hidden.dtype(), {V, hidden.extent(1)}, "cross entropy weight");
  require_shape(targets, DType::i32, {N}, "cross entropy targets");
  require_shape(nats, DType::f32, {N}, "cross entropy nats");
  for (int64_t n = 0; n < N; ++n)
    if (targets.as<int32_t>()[n] >= V)
      throw DataError(
          fmt::format("target token {} is outside the vocabulary of {}; the shards belong to another tokenizer",
                      targets.as<int32_t>()[n], V));
}

// Calls chunk_done(first, rows) after each chunk's rows have been visited by `row(n, logits)`.
template <class Row, class Done>
void for_each_chunk(ConstTensor hidden, ConstTensor weight, const LogitChunk& chunk, Row&& row, Done&& chunk_done) {
  const int64_t N = hidden.extent(0), V = weight.extent(0);
  for (int64_t first = 0; first < N; first += chunk.tokens()) {
    const int64_t rows = std::min(chunk.tokens(), N - first);
    const Tensor logits = chunk.logits(rows);
    linear_forward(logits, hidden.rows(first, rows), weight);
    parallel_for(rows, kRowGrain, [&](int64_t begin, int64_t end) {
      with_widest_vectors([&]() STARLING_INLINE {
        for (int64_t i = begin; i < end; ++i) row(first + i, logits.as<float>() + i * V, i);
      });
    });
    chunk_done(first, rows);
  }
}

}  // namespace

LogitChunk::LogitChunk(int64_t vocab_size, DType operands, int64_t tokens)
    : logits_(DType::f32, {tokens, vocab_size}), gradients_(operands, {tokens, vocab_size}) {}

void linear_cross_entropy_forward(Tensor nats, ConstTensor hidden, ConstTensor weight, ConstTensor targets,
                                  const LogitChunk& chunk) {
  check(nats, hidden, weight, targets);
  const auto row = [&](int64_t n, float* logits, int64_t) STARLING_INLINE {
    exponentials(logits, weight.extent(0), targets.as<int32_t>()[n], nats.as<float>()[n]);
  };
  for_each_chunk(hidden, weight, chunk, row, [](int64_t, int64_t) {});
}

void linear_cross_entropy_train(Tensor nats, Tensor dhidden, Tensor dweight, ConstTensor hidden, ConstTensor weight,
                                ConstTensor targets, const CrossEntropyLoss& loss, const LogitChunk& chunk) {
  check(nats, hidden, weight, targets);
  const double logits = static_cast<double>(hidden.extent(0)) * static_cast<double>(weight.extent(0));
  const ProfiledOperator timed("cross entropy", 20.0 * logits,
                               logits * static_cast<double>(sizeof(float) + size_of(hidden.dtype())));
  const int64_t V = weight.extent(0);
  dispatch_float(hidden.dtype(), "cross entropy hidden", [&]<class T>(T) {
    const auto row = [&](int64_t n, float* logits, int64_t i) STARLING_INLINE {
      const int32_t target = targets.as<int32_t>()[n];
      const RowSum sum = exponentials(logits, V, target, nats.as<float>()[n]);
      gradient_row(chunk.gradients(i + 1).template as<T>() + i * V, logits, sum, V, target, loss);
    };
    for_each_chunk(hidden, weight, chunk, row, [&](int64_t first, int64_t rows) {
      linear_backward_input(dhidden.rows(first, rows), chunk.gradients(rows), weight);
      if (!dweight.empty()) linear_backward_weight(dweight, chunk.gradients(rows), hidden.rows(first, rows));
    });
  });
}

}  // namespace starling

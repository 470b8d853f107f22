#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "core/error.h"
#include "core/threads.h"
#include "ops/bf16_lanes.h"
#include "ops/kernels.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

constexpr int64_t kRowGrain = 8;

struct RowSum {
  float sum = 0;             // of e^(logit - largest)
  float log_normaliser = 0;  // log sum_v e^logit
};

// As many of a row's logits as make whole lanes become e^(logit - largest); adds these to the sum, returns how many.
STARLING_AVX512_BF16 int64_t exponentials_in_lanes(float* logits, int64_t V, float largest, float& sum) {
  const __m512 factor = _mm512_set1_ps(kLog2OfE), offset = _mm512_set1_ps(largest);
  __m512 sums = _mm512_setzero_ps();
  int64_t v = 0;
  for (; v + kLanes <= V; v += kLanes) {
    const __m512 power = power_of_two(_mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(logits + v), offset), factor));
    _mm512_storeu_ps(logits + v, power);
    sums = _mm512_add_ps(sums, power);
  }
  sum += _mm512_reduce_add_ps(sums);
  return v;
}

// The same of the gradients, each an exponential times a factor; they may take the exponentials' place.
STARLING_AVX512_BF16 int64_t gradients_in_lanes(bf16* gradients, const float* exponentials, int64_t V, float factor) {
  int64_t v = 0;
  for (; v + kLanes <= V; v += kLanes)
    store_lanes(gradients + v, _mm512_mul_ps(_mm512_loadu_ps(exponentials + v), _mm512_set1_ps(factor)));
  return v;
}

// Leaves e^(logit - largest) in the row and sets the row's loss.
STARLING_INLINE inline RowSum exponentials(float* __restrict logits, int64_t V, int32_t target, float& nats) {
  float largest = logits[0];
#pragma omp simd reduction(max : largest)
  for (int64_t v = 0; v < V; ++v) largest = std::max(largest, logits[v]);
  const float wanted = target < 0 ? 0.0f : logits[target];
  float sum = 0;
  const int64_t begin = use_avx512_bf16() ? exponentials_in_lanes(logits, V, largest, sum) : 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t v = begin; v < V; ++v) {
    logits[v] = fast_exp(logits[v] - largest);
    sum += logits[v];
  }
  const float log_normaliser = largest + std::log(sum);
  nats = target < 0 ? 0.0f : log_normaliser - wanted;
  return {sum, log_normaliser};
}

// d loss / d logit = scale (softmax (1 + 2 z_loss log_normaliser) - 1[v = target]). Gradients take the exponentials'
// place from the first on: some are made, then copied to where numbers of the other type were.
template <class T>
STARLING_INLINE inline void gradient_row(T* gradients, const float* exponentials, const RowSum& row, int64_t V,
                                         int32_t target, const CrossEntropyLoss& loss) {
  const float scale = loss.scale;
  const float factor = target < 0 ? 0.0f : scale * (1.0f + 2.0f * loss.z_loss * row.log_normaliser) / row.sum;
  const T of_target = from_float<T>(target < 0 ? 0.0f : exponentials[target] * factor - scale);
  int64_t v = 0;
  if constexpr (std::is_same_v<T, bf16>)
    if (use_avx512_bf16()) v = gradients_in_lanes(gradients, exponentials, V, factor);
  for (T some[kLanes]; v < V; v += kLanes) {
    const int64_t count = std::min(kLanes, V - v);
    for (int64_t i = 0; i < count; ++i) some[i] = from_float<T>(exponentials[v + i] * factor);
    std::memcpy(gradients + v, some, static_cast<size_t>(count) * sizeof(T));
  }
  if (target >= 0) gradients[target] = of_target;
}

void check_range(const ConstTensor& targets, int64_t V) {
  for (int64_t n = 0; n < targets.extent(0); ++n)
    if (targets.as<int32_t>()[n] >= V)
      throw DataError(
          fmt::format("target token {} is outside the vocabulary of {}; the shards belong to another tokenizer",
                      targets.as<int32_t>()[n], V));
}

float* row_of(const Matrix& logits, int64_t row) {
  return static_cast<float*>(const_cast<void*>(logits.data)) + row * logits.row_stride;
}

template <class Row>
void for_each_row(int64_t rows, Row&& row) {
  parallel_for(rows, kRowGrain, [&](int64_t begin, int64_t end) {
    with_widest_vectors([&]() STARLING_INLINE {
      for (int64_t n = begin; n < end; ++n) row(n);
    });
  });
}

}  // namespace

template <>
void Kernels<Device::cpu>::cross_entropy_forward(Tensor nats, Matrix logits, ConstTensor targets) {
  check_range(targets, logits.columns);
  const int32_t* target = targets.as<int32_t>();
  for_each_row(logits.rows, [&](int64_t n) STARLING_INLINE {
    exponentials(row_of(logits, n), logits.columns, target[n], nats.as<float>()[n]);
  });
}

template <>
void Kernels<Device::cpu>::cross_entropy_train(Tensor nats, Matrix gradients, Matrix logits, ConstTensor targets,
                                               const CrossEntropyLoss& loss) {
  check_range(targets, logits.columns);
  const int32_t* target = targets.as<int32_t>();
  dispatch_float(gradients.dtype, "cross entropy hidden", [&]<class T>(T) {
    T* gradient = static_cast<T*>(const_cast<void*>(gradients.data));
    for_each_row(logits.rows, [&](int64_t n) STARLING_INLINE {
      float* row = row_of(logits, n);
      const RowSum sum = exponentials(row, logits.columns, target[n], nats.as<float>()[n]);
      gradient_row(gradient + n * gradients.row_stride, row, sum, logits.columns, target[n], loss);
    });
  });
}

}  // namespace starling

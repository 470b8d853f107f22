// Plain loops in the order that attention_kernels.h states: what the other kernels are tested against.
#include <immintrin.h>

#include <cmath>

#include "infer/attention_kernels.h"
#include "infer/kv_cache.h"

namespace starling {
namespace {

float value_of(float value) { return value; }
float value_of(int8_t value) { return value; }
float value_of(uint16_t value) { return _cvtsh_ss(value); }

template <class Element>
void dots(int heads, float* scores, int64_t stride, const float* q, const Element* keys, const Element*, int64_t d,
          float scale) {
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t p = 0; p < kPagePositions; ++p) {
      float sums[2] = {};
      for (int64_t i = 0; i < d; ++i)
        sums[i % 2] = std::fma(q[h * d + i], value_of(keys[i * kPagePositions + p]), sums[i % 2]);
      scores[h * stride + p] = (sums[0] + sums[1]) * scale;
    }
  }
}

template <class Element>
void add_rows(int heads, float* sums, const float* weights, int64_t stride, const Element* values, const Element*,
              int64_t count, int64_t d) {
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t r = 0; r < count; ++r)
      for (int64_t i = 0; i < d; ++i)
        sums[h * d + i] = std::fma(weights[h * stride + r], value_of(values[r * d + i]), sums[h * d + i]);
}

template <class Element>
constexpr PageKernels<Element> kernels() {
  return {dots<Element>, add_rows<Element>};
}

}  // namespace

const AttentionKernels& reference_attention() {
  static constexpr AttentionKernels kKernels{1, kernels<uint16_t>(), kernels<int8_t>(), kernels<float>()};
  return kKernels;
}

}  // namespace starling

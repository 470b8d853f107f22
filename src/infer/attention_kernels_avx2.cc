#include <immintrin.h>

#include <cmath>

#include "infer/attention_kernels.h"
#include "infer/kv_cache.h"

namespace starling {
namespace {

__m256 load8(const float* values) { return _mm256_loadu_ps(values); }
__m256 load8(const uint16_t* values) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)));
}
__m256 load8(const int8_t* values) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(values))));
}
float load(float value) { return value; }
float load(int8_t value) { return value; }
float load(uint16_t value) { return _cvtsh_ss(value); }

template <int heads, class Element>
void dots(float* scores, int64_t stride, const float* q, const Element* keys, const Element* next, int64_t d,
          float scale) {
  __m256 sum[heads][2][2] = {};  // of even and odd columns, 8 positions each
  for (int64_t i = 0; i < d; i += 2) {
    fetch(next + i * kPagePositions, 2 * kPagePositions);
#pragma GCC unroll 2
    for (int odd = 0; odd < 2; ++odd) {
      const Element* column = keys + (i + odd) * kPagePositions;
      const __m256 low = load8(column), high = load8(column + 8);
#pragma GCC unroll 8
      for (int h = 0; h < heads; ++h) {
        const __m256 query = _mm256_broadcast_ss(q + h * d + i + odd);
        sum[h][odd][0] = _mm256_fmadd_ps(query, low, sum[h][odd][0]);
        sum[h][odd][1] = _mm256_fmadd_ps(query, high, sum[h][odd][1]);
      }
    }
  }
  const __m256 factor = _mm256_set1_ps(scale);
#pragma GCC unroll 8
  for (int h = 0; h < heads; ++h) {
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const __m256 total = _mm256_add_ps(sum[h][0][half], sum[h][1][half]);
      _mm256_storeu_ps(scores + h * stride + 8 * half, _mm256_mul_ps(total, factor));
    }
  }
}

// 8 * registers columns of `heads` sums one after another, kept in registers while the rows pass.
template <int heads, int registers, class Element>
void add_columns(float* sums, const float* weights, int64_t stride, const Element* rows, const Element* next,
                 int64_t count, int64_t d) {
  __m256 columns[heads][registers];
#pragma GCC unroll 8
  for (int h = 0; h < heads; ++h)
#pragma GCC unroll 8
    for (int c = 0; c < registers; ++c) columns[h][c] = _mm256_loadu_ps(sums + h * d + 8 * c);
  for (int64_t r = 0; r < count; ++r) {
    fetch(next + r * d, 8 * registers);
    __m256 weight[heads];
#pragma GCC unroll 8
    for (int h = 0; h < heads; ++h) weight[h] = _mm256_set1_ps(weights[h * stride + r]);
#pragma GCC unroll 8
    for (int c = 0; c < registers; ++c) {
      const __m256 row = load8(rows + r * d + 8 * c);
#pragma GCC unroll 8
      for (int h = 0; h < heads; ++h) columns[h][c] = _mm256_fmadd_ps(weight[h], row, columns[h][c]);
    }
  }
#pragma GCC unroll 8
  for (int h = 0; h < heads; ++h)
#pragma GCC unroll 8
    for (int c = 0; c < registers; ++c) _mm256_storeu_ps(sums + h * d + 8 * c, columns[h][c]);
}

template <int heads, class Element>
void add_rows(float* sums, const float* weights, int64_t stride, const Element* rows, const Element* next,
              int64_t count, int64_t d) {
  constexpr int kRegisters = 8 / heads;
  int64_t i = 0;
  for (; i + 8 * kRegisters <= d; i += 8 * kRegisters)
    add_columns<heads, kRegisters>(sums + i, weights, stride, rows + i, next + i, count, d);
  for (; i + 8 <= d; i += 8) add_columns<heads, 1>(sums + i, weights, stride, rows + i, next + i, count, d);
  for (; i < d; ++i)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t r = 0; r < count; ++r)
        sums[h * d + i] = std::fma(weights[h * stride + r], load(rows[r * d + i]), sums[h * d + i]);
}

template <class Element>
constexpr PageKernels<Element> kernels_for() {
  return {
      [](int heads, float* scores, int64_t stride, const float* q, const Element* keys, const Element* next, int64_t d,
         float scale) { (heads == 2 ? dots<2, Element> : dots<1, Element>)(scores, stride, q, keys, next, d, scale); },
      [](int heads, float* sums, const float* weights, int64_t stride, const Element* rows, const Element* next,
         int64_t count, int64_t d) {
        (heads == 2 ? add_rows<2, Element> : add_rows<1, Element>)(sums, weights, stride, rows, next, count, d);
      }};
}

}  // namespace

const AttentionKernels& avx2_attention() {
  static constexpr AttentionKernels kKernels{2, kernels_for<uint16_t>(), kernels_for<int8_t>(), kernels_for<float>()};
  return kKernels;
}

}  // namespace starling

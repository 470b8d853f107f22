// One register holds the 16 positions of a page or 16 columns of a value; up to 8 heads share what they load of it.

#include <algorithm>
#include <utility>

#include "infer/attention_kernels.h"
#include "ops/avx512.h"

#define STARLING_INLINE inline __attribute__((always_inline))

namespace starling {
namespace {

constexpr int kMostHeads = 8;

STARLING_AVX512 STARLING_INLINE __m512 load16(const float* values, __mmask16 mask = 0xffff) {
  return _mm512_maskz_loadu_ps(mask, values);
}
STARLING_AVX512 STARLING_INLINE __m512 load16(const uint16_t* values, __mmask16 mask = 0xffff) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, values));
}

STARLING_AVX512 STARLING_INLINE __m512 load16(const int8_t* values, __mmask16 mask = 0xffff) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask, values)));
}

template <int heads, class Element>
STARLING_AVX512 void dots(float* scores, int64_t stride, const float* q, const Element* keys, const Element* next,
                          int64_t d, float scale) {
  __m512 sum[heads][2] = {};  // of even and odd columns
  for (int64_t i = 0; i < d; i += 2) {
    fetch(next + i * 16, 32);
#pragma GCC unroll 2
    for (int odd = 0; odd < 2; ++odd) {
      const __m512 column = load16(keys + (i + odd) * 16);
#pragma GCC unroll 8
      for (int h = 0; h < heads; ++h)
        sum[h][odd] = _mm512_fmadd_ps(_mm512_set1_ps(q[h * d + i + odd]), column, sum[h][odd]);
    }
  }
#pragma GCC unroll 8
  for (int h = 0; h < heads; ++h) {
    const __m512 total = _mm512_add_ps(sum[h][0], sum[h][1]);
    _mm512_storeu_ps(scores + h * stride, _mm512_mul_ps(total, _mm512_set1_ps(scale)));
  }
}

// 16 * registers columns of the sums, of which the last register may hold fewer, kept in registers while the rows pass.
template <int heads, int registers, class Element>
STARLING_AVX512 void add_columns(float* sums, const float* weights, int64_t stride, const Element* rows,
                                 const Element* next, int64_t count, int64_t d, int64_t columns) {
  __m512 sum[heads][registers];
  __mmask16 mask[registers];
#pragma GCC unroll 4
  for (int c = 0; c < registers; ++c) {
    mask[c] = static_cast<__mmask16>((1u << std::min<int64_t>(16, columns - 16 * c)) - 1);
#pragma GCC unroll 8
    for (int h = 0; h < heads; ++h) sum[h][c] = _mm512_maskz_loadu_ps(mask[c], sums + h * d + 16 * c);
  }
  for (int64_t r = 0; r < count; ++r) {
    fetch(next + r * d, 16 * registers);
    __m512 row[registers];
#pragma GCC unroll 4
    for (int c = 0; c < registers; ++c) row[c] = load16(rows + r * d + 16 * c, mask[c]);
#pragma GCC unroll 8
    for (int h = 0; h < heads; ++h) {
      const __m512 weight = _mm512_set1_ps(weights[h * stride + r]);
#pragma GCC unroll 4
      for (int c = 0; c < registers; ++c) sum[h][c] = _mm512_fmadd_ps(weight, row[c], sum[h][c]);
    }
  }
#pragma GCC unroll 8
  for (int h = 0; h < heads; ++h)
#pragma GCC unroll 4
    for (int c = 0; c < registers; ++c) _mm512_mask_storeu_ps(sums + h * d + 16 * c, mask[c], sum[h][c]);
}

template <int heads, class Element>
void add_rows(float* sums, const float* weights, int64_t stride, const Element* rows, const Element* next,
              int64_t count, int64_t d) {
  constexpr int kRegisters = heads > 4 ? 2 : 4;  // no more than 16 sums
  int64_t i = 0;
  for (; i + 16 * (kRegisters - 1) < d; i += 16 * kRegisters)
    add_columns<heads, kRegisters>(sums + i, weights, stride, rows + i, next + i, count, d, d - i);
  for (; i < d; i += 16) add_columns<heads, 1>(sums + i, weights, stride, rows + i, next + i, count, d, d - i);
}

// Both functions for each number of heads.
template <class Element, int... less_one>
constexpr PageKernels<Element> kernels_for(std::integer_sequence<int, less_one...>) {
  return {[](int heads, float* scores, int64_t stride, const float* q, const Element* keys, const Element* next,
             int64_t d, float scale) {
            static constexpr decltype(&dots<1, Element>) kDots[] = {dots<less_one + 1, Element>...};
            kDots[heads - 1](scores, stride, q, keys, next, d, scale);
          },
          [](int heads, float* sums, const float* weights, int64_t stride, const Element* rows, const Element* next,
             int64_t count, int64_t d) {
            static constexpr decltype(&add_rows<1, Element>) kAddRows[] = {add_rows<less_one + 1, Element>...};
            kAddRows[heads - 1](sums, weights, stride, rows, next, count, d);
          }};
}

}  // namespace

const AttentionKernels& avx512_attention() {
  constexpr auto kEach = std::make_integer_sequence<int, kMostHeads>();
  static constexpr AttentionKernels kKernels{kMostHeads, kernels_for<uint16_t>(kEach), kernels_for<int8_t>(kEach),
                                             kernels_for<float>(kEach)};
  return kKernels;
}

}  // namespace starling

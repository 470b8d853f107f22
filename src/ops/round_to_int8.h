// Private to ops: how activations and weights become 8 bits, a group of kScaleGroup values at a time.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "ops/quantized_matrix.h"

namespace starling {

// Rounds 32 values to the nearest of 255 steps, ties to even; returns their scale, max |value| / 127.
inline float round_to_int8(const float* values, int8_t* rounded) {
  __m256 part[4], largest = _mm256_setzero_ps();
  const __m256 sign = _mm256_set1_ps(-0.0f);
  for (int i = 0; i < 4; ++i) {
    part[i] = _mm256_loadu_ps(values + 8 * i);
    largest = _mm256_max_ps(largest, _mm256_andnot_ps(sign, part[i]));
  }
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, largest);
  const float maximum = *std::max_element(lanes, lanes + 8);
  const __m256 inverse = _mm256_set1_ps(maximum > 0 ? 127.0f / maximum : 0.0f);
  __m256i whole[4];
  for (int i = 0; i < 4; ++i) whole[i] = _mm256_cvtps_epi32(_mm256_mul_ps(part[i], inverse));
  const __m256i bytes =
      _mm256_packs_epi16(_mm256_packs_epi32(whole[0], whole[1]), _mm256_packs_epi32(whole[2], whole[3]));
  // The packs work inside 128-bit halves: bring the words back into order.
  const __m256i ordered = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(rounded), ordered);
  return maximum / 127.0f;
}

// The same of a group of `count` values, which are followed by zeros: writes 32 in any case.
inline float round_to_int8(const float* values, int64_t count, int8_t* rounded) {
  if (count >= kScaleGroup) return round_to_int8(values, rounded);
  float padded[kScaleGroup] = {};
  std::copy_n(values, count, padded);
  return round_to_int8(padded, rounded);
}

}  // namespace starling

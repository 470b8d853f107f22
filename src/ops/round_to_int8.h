// Private to ops: how activations and weights become 8 bits, a group of kScaleGroup values at a time.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "ops/quantized_matrix.h"

namespace starling {

// The largest of eight values from 0 on.
inline float largest_of(__m256 values) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// Rounds 32 values to the nearest of 255 steps, ties to even; returns their scale, max |value| / 127.
inline float round_to_int8(const float* values, int8_t* rounded) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  const __m256 a = _mm256_loadu_ps(values), b = _mm256_loadu_ps(values + 8), c = _mm256_loadu_ps(values + 16),
               d = _mm256_loadu_ps(values + 24);
  const auto larger = [&](__m256 x, __m256 y) {
    return _mm256_max_ps(_mm256_andnot_ps(sign, x), _mm256_andnot_ps(sign, y));
  };
  const float maximum = largest_of(_mm256_max_ps(larger(a, b), larger(c, d)));
  const __m256 inverse = _mm256_set1_ps(maximum > 0 ? 127.0f / maximum : 0.0f);
  const auto whole = [&](__m256 x) { return _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse)); };
  const __m256i bytes =
      _mm256_packs_epi16(_mm256_packs_epi32(whole(a), whole(b)), _mm256_packs_epi32(whole(c), whole(d)));
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

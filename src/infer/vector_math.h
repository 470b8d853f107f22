// Loops over f32 on 8 lanes that the parts of the decoder share.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <span>

namespace starling {

// For softmax and SiLU. Relative error below 2e-7 on [-87, 88]; outside it clamps.
// exp(x) = 2^n * exp(r), n = round(x / ln 2), |r| <= ln 2 / 2, with the Taylor polynomial of degree 7 for exp(r).
inline __m256 exp8(__m256 x) {
  x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-87.0f)), _mm256_set1_ps(88.0f));
  const __m256 n =
      _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  // ln 2 in two parts, so that n * ln 2 is exact enough.
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
  __m256 sum = _mm256_set1_ps(1.0f / 5040);
#pragma GCC unroll 7
  for (const float coefficient : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 1.0f / 2, 1.0f, 1.0f})
    sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(coefficient));
  const __m256i exponent = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_mul_ps(sum, _mm256_castsi256_ps(exponent));
}

// Eight values, or the `count` that are left where an array ends; the other lanes are 0 and not stored. Whole vectors
// go without a mask: with one AMD's Zen takes many times as long to store.
inline __m256i tail_mask(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline __m256 load8(const float* from, int64_t count) {
  return count >= 8 ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, tail_mask(count));
}
inline void store8(float* to, int64_t count, __m256 x) {
  count >= 8 ? _mm256_storeu_ps(to, x) : _mm256_maskstore_ps(to, tail_mask(count), x);
}
inline __m256 first8(__m256 x, int64_t count) {
  return count >= 8 ? x : _mm256_and_ps(x, _mm256_castsi256_ps(tail_mask(count)));
}

inline float sum8(__m256 x) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// Of at least one value, none of them NaN. Four maxima at a time, because each waits for the one before.
inline float max_of(std::span<const float> x) {
  __m256 largest[4] = {_mm256_set1_ps(x[0]), _mm256_set1_ps(x[0]), _mm256_set1_ps(x[0]), _mm256_set1_ps(x[0])};
  size_t i = 0;
  for (; i + 32 <= x.size(); i += 32)
    for (size_t k = 0; k < 4; ++k) largest[k] = _mm256_max_ps(largest[k], _mm256_loadu_ps(&x[i + 8 * k]));
  for (; i + 8 <= x.size(); i += 8) largest[0] = _mm256_max_ps(largest[0], _mm256_loadu_ps(&x[i]));
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, _mm256_max_ps(_mm256_max_ps(largest[0], largest[1]), _mm256_max_ps(largest[2], largest[3])));
  float most = lanes[0];
  for (const float lane : lanes) most = lane > most ? lane : most;
  for (; i < x.size(); ++i) most = x[i] > most ? x[i] : most;
  return most;
}

// The first place of `value`; x.size() when it is not there.
inline size_t index_of(std::span<const float> x, float value) {
  const __m256 wanted = _mm256_set1_ps(value);
  const auto is_wanted = [&](size_t at) { return _mm256_cmp_ps(_mm256_loadu_ps(&x[at]), wanted, _CMP_EQ_OQ); };
  size_t i = 0;
  for (; i + 16 <= x.size(); i += 16)
    if (_mm256_movemask_ps(_mm256_or_ps(is_wanted(i), is_wanted(i + 8))) != 0) break;
  while (i < x.size() && !(x[i] == value)) ++i;
  return i;
}

}  // namespace starling

#include "infer/cache_elements.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "infer/vector_math.h"

namespace starling {

void round_elements(const float* from, uint16_t* f16, int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(f16 + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
  }
  for (; i < count; ++i) f16[i] = static_cast<uint16_t>(_cvtss_sh(from[i], _MM_FROUND_TO_NEAREST_INT));
}

float round_elements(const float* from, int8_t* rounded, int64_t count) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  __m256 sizes = _mm256_setzero_ps();
  for (int64_t i = 0; i < count; i += 8)
    sizes = _mm256_max_ps(sizes, _mm256_andnot_ps(sign, load8(from + i, count - i)));
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, sizes);
  const float largest = max_of(lanes);
  const __m256 inverse = _mm256_set1_ps(largest > 0 ? 127.0f / largest : 0.0f);
  for (int64_t i = 0; i < count; i += 8) {
    const __m256i whole = _mm256_cvtps_epi32(_mm256_mul_ps(load8(from + i, count - i), inverse));
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    const int64_t bytes = _mm_cvtsi128_si64(_mm_packs_epi16(words, words));
    std::memcpy(rounded + i, &bytes, static_cast<size_t>(std::min<int64_t>(8, count - i)));
  }
  return largest / 127.0f;
}

void widen_elements(const uint16_t* f16, float* to, int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(f16 + i))));
  for (; i < count; ++i) to[i] = _cvtsh_ss(f16[i]);
}

void widen_elements(const int8_t* rounded, float* to, int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(rounded + i));
    _mm256_storeu_ps(to + i, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
  }
  for (; i < count; ++i) to[i] = rounded[i];
}

}  // namespace starling

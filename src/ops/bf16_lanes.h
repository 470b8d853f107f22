// Private to ops: sixteen bf16 as floats at once, on processors with AVX-512's bf16 (use_avx512_bf16, vector_math.h).
// What training does between its products is bound by memory with these; loops that the compiler vectorises take twice
// the instructions, as it does not know the one that rounds.
#pragma once

#include "ops/avx512.h"
#include "ops/vector_math.h"
#include "tensor/bfloat16.h"

namespace starling {

constexpr int64_t kLanes = 16;
constexpr float kLog2OfE = 1.44269504f;

STARLING_AVX512_BF16 STARLING_INLINE inline __m512 load_lanes(const bf16* from) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

// To the nearest, ties to even; below the smallest normal number to 0.
STARLING_AVX512_BF16 STARLING_INLINE inline void store_lanes(void* to, __m512 values) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values)));
}

// 2^x with a relative error below 2e-7; 0 where x is very low. x = n + r, |r| <= 1/2, 2^r by the polynomial of degree 5
// with the smallest relative error.
STARLING_AVX512_BF16 STARLING_INLINE inline __m512 power_of_two(__m512 x) {
  const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), r = _mm512_sub_ps(x, n);
  __m512 power = _mm512_set1_ps(1.32647273e-3f);
  power = _mm512_fmadd_ps(power, r, _mm512_set1_ps(9.67151299e-3f));
  power = _mm512_fmadd_ps(power, r, _mm512_set1_ps(5.55073358e-2f));
  power = _mm512_fmadd_ps(power, r, _mm512_set1_ps(2.40222424e-1f));
  power = _mm512_fmadd_ps(power, r, _mm512_set1_ps(6.93147004e-1f));
  power = _mm512_fmadd_ps(power, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(power, n);
}

}  // namespace starling

// Elementary functions written so that a loop over them vectorises, and the choice of the widest vectors.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>

// Functions and lambdas of a loop for with_widest_vectors.
#define STARLING_INLINE __attribute__((always_inline))

namespace starling {

template <class Loop>
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd"))) void with_avx512(const Loop& loop) {
  loop();
}

// STARLING_NO_AVX512 in the environment hides AVX-512 from the loops below and from inference: tests run the floor's
// code with it.
inline bool use_avx512() {
  static const bool use = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512cd") && std::getenv("STARLING_NO_AVX512") == nullptr;
  return use;
}

// For what the compiler does not vectorise with AVX-512's bf16 by itself. oneDNN's DNNL_MAX_CPU_ISA hides that too.
bool use_avx512_bf16();

// Runs a loop compiled for AVX-512 where the processor has it, else for the floor. `loop` and what it calls must be
// inlined (STARLING_INLINE): only then is it compiled for the function it stands in.
template <class Loop>
void with_widest_vectors(const Loop& loop) {
  use_avx512() ? with_avx512(loop) : loop();
}

// e^x with a relative error below 3e-7; 0 below -87, e^88 above 88. x = n ln2 + r, |r| <= ln2 / 2, e^r by its Taylor
// series to r^7, 2^n by its bits.
STARLING_INLINE inline float fast_exp(float x) {
  const float clamped = std::min(std::max(x, -87.0f), 88.0f);
  const float n = std::rint(clamped * 1.44269504f);
  const float r = (clamped - n * 0.693145752f) - n * 1.42860677e-6f;  // ln2 in two parts (Cody & Waite)
  float power = 1.98412698e-4f;
  power = power * r + 1.38888889e-3f;
  power = power * r + 8.33333333e-3f;
  power = power * r + 4.16666667e-2f;
  power = power * r + 1.66666667e-1f;
  power = power * r + 0.5f;
  power = power * r + 1.0f;
  power = power * r + 1.0f;
  const int32_t exponent = static_cast<int32_t>(n) << 23;
  const float result = std::bit_cast<float>(std::bit_cast<int32_t>(power) + exponent);
  return x < -87.0f ? 0.0f : result;
}

}  // namespace starling

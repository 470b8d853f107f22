// AVX-512 with VNNI: one 512-bit register holds a step of 16 rows; vpdpbusd adds four products of each row at once.

// GCC 12 takes the "undefined" registers of its own AVX-512 intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "ops/quantized_kernels.h"

// The attribute, not a compiler flag for the file: an inline function of a header compiled here with AVX-512 could be
// the copy the linker keeps, and would then fail on a processor without it.
#define STARLING_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

namespace starling {
namespace {

constexpr int64_t kGroupSteps = kScaleGroup / 4;  // vpdpbusd steps in a group

template <int T>
STARLING_AVX512 inline __attribute__((always_inline)) void start_group(__m512i (&dot)[T], const ActivationTile& x,
                                                                       int64_t group) {
  for (int t = 0; t < T; ++t) dot[t] = _mm512_set1_epi32(x.corrections[group * T + t]);
}

template <int T>
STARLING_AVX512 inline __attribute__((always_inline)) void add_step(__m512i (&dot)[T], __m512i weights,
                                                                    const int32_t* quads) {
  for (int t = 0; t < T; ++t) dot[t] = _mm512_dpbusd_epi32(dot[t], weights, _mm512_set1_epi32(quads[t]));
}

template <int T>
STARLING_AVX512 inline __attribute__((always_inline)) void end_group(__m512 (&total)[T], const __m512i (&dot)[T],
                                                                     const ActivationTile& x, const uint16_t* scales,
                                                                     int64_t group) {
  const __m512 weight_scales =
      _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(scales + group * kRowBlock)));
  for (int t = 0; t < T; ++t) {
    const __m512 scale = _mm512_mul_ps(weight_scales, _mm512_set1_ps(x.scales[group * T + t]));
    total[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[t]), scale, total[t]);
  }
}

template <int T>
STARLING_AVX512 inline __attribute__((always_inline)) void store_scaled(float* y, const __m512 (&total)[T],
                                                                        const float* units) {
  const __m512 unit = _mm512_loadu_ps(units);
  for (int t = 0; t < T; ++t) _mm512_storeu_ps(y + t * kRowBlock, _mm512_mul_ps(total[t], unit));
}

template <int T>
STARLING_AVX512 void int8_tile(float* y, const ActivationTile& x, const QuantizedMatrix& w, int64_t block) {
  const uint8_t* data = w.block_data(block);
  const int32_t* quads = x.quads;
  __m512 total[T];
  for (int t = 0; t < T; ++t) total[t] = _mm512_setzero_ps();
  for (int64_t group = 0; group < w.groups(); ++group) {
    __m512i dot[T];
    start_group<T>(dot, x, group);
    for (int64_t step = 0; step < kGroupSteps; ++step, data += 64, quads += T) {
      add_step<T>(dot, _mm512_loadu_si512(data), quads);
    }
    end_group<T>(total, dot, x, w.block_scales(block), group);
  }
  store_scaled<T>(y, total, w.block_units(block));
}

template <int T>
STARLING_AVX512 void code4_tile(float* y, const ActivationTile& x, const QuantizedMatrix& w, int64_t block) {
  const uint8_t* data = w.block_data(block);
  const int32_t* quads = x.quads;
  const __m512i low_nibble = _mm512_set1_epi8(0x0f);
  const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w.codebook().data()));
  // + 128 makes the values unsigned, as vpdpbusd wants its first factor.
  const __m512i codebook = _mm512_xor_si512(_mm512_broadcast_i32x4(codes), _mm512_set1_epi8(static_cast<char>(0x80)));
  __m512 total[T];
  for (int t = 0; t < T; ++t) total[t] = _mm512_setzero_ps();
  for (int64_t group = 0; group < w.groups(); ++group) {
    __m512i dot[T];
    start_group<T>(dot, x, group);
    for (int64_t pair = 0; pair < kGroupSteps / 2; ++pair, data += 64, quads += 2 * T) {
      const __m512i packed = _mm512_loadu_si512(data);
      const __m512i even = _mm512_and_si512(packed, low_nibble);
      const __m512i odd = _mm512_and_si512(_mm512_srli_epi16(packed, 4), low_nibble);
      add_step<T>(dot, _mm512_shuffle_epi8(codebook, even), quads);
      add_step<T>(dot, _mm512_shuffle_epi8(codebook, odd), quads + T);
    }
    end_group<T>(total, dot, x, w.block_scales(block), group);
  }
  store_scaled<T>(y, total, w.block_units(block));
}

template <int T>
STARLING_AVX512 void bf16_tile(float* y, const ActivationTile& x, const QuantizedMatrix& w, int64_t block) {
  const uint8_t* data = w.block_data(block);
  const float* values = x.values;
  __m512 total[T];
  for (int t = 0; t < T; ++t) total[t] = _mm512_setzero_ps();
  for (int64_t col = 0; col < w.padded_cols(); ++col, data += 32, values += T) {
    const __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(data)));
    const __m512 weights = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
    for (int t = 0; t < T; ++t) total[t] = _mm512_fmadd_ps(weights, _mm512_set1_ps(values[t]), total[t]);
  }
  for (int t = 0; t < T; ++t) _mm512_storeu_ps(y + t * kRowBlock, total[t]);
}

template <int T>
TileKernel kernel_of(WeightFormat format) {
  if (format == WeightFormat::bf16) return bf16_tile<T>;
  return format == WeightFormat::int8 ? int8_tile<T> : code4_tile<T>;
}

}  // namespace

TileKernel avx512_kernel(WeightFormat format, int tokens) {
  switch (tokens) {
    case 12:
      return kernel_of<12>(format);
    case 8:
      return kernel_of<8>(format);
    case 4:
      return kernel_of<4>(format);
    case 2:
      return kernel_of<2>(format);
    default:
      return kernel_of<1>(format);
  }
}

}  // namespace starling

// AVX2, the least that every file may use: 16 rows are two registers of 8.
#include <immintrin.h>

#include "ops/quantized_kernels.h"
#include "ops/weight_steps.h"

namespace starling {
namespace {

constexpr int64_t kGroupSteps = kScaleGroup / 4;

// Adds the products of one token with a step of 16 rows, a lane a row. Two products of |x| <= 127 and |w| <= 128 do not
// saturate 16 bits.
void add_products(__m256i (&sums)[2], const __m256i (&weights)[2], int32_t magnitudes, int32_t signs) {
  const __m256i sizes = _mm256_set1_epi32(magnitudes), flips = _mm256_set1_epi32(signs);
  for (int half = 0; half < 2; ++half) {
    const __m256i pairs = _mm256_maddubs_epi16(sizes, _mm256_xor_si256(weights[half], flips));
    // An addition in its place, token by token: GCC 12 would make the products of all tokens first and keep sums in
    // memory.
    asm volatile("vpaddd %1, %0, %0" : "+x"(sums[half]) : "x"(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1))));
  }
}

// With one token the weights come from memory; those of 4 bits faster when asked for early, others not.
constexpr int64_t kLinesAhead = 24, kScaleGroupsAhead = 4;
void fetch(const void* data) { _mm_prefetch(static_cast<const char*>(data), _MM_HINT_T0); }

template <class Steps, int T>
void integer_block(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w, int64_t block) {
  constexpr bool kAsksEarly = T == 1 && Steps::kOfLine == 2;
  constexpr int64_t kLines = kGroupSteps / Steps::kOfLine;
  const Steps steps(w);
  const uint8_t *line = w.block_data(block), *next = w.block_data(block + kPanelBlocks);
  const uint16_t* scales = w.block_scales(block);
  const int32_t *quads = x.quads, *signs = x.signs;
  __m256 total[T][2];
  for (auto& token : total) token[0] = token[1] = _mm256_setzero_ps();
  for (int64_t group = 0; group < w.groups(); ++group) {
    __m256i sums[T][2];
    for (int t = 0; t < T; ++t) sums[t][0] = sums[t][1] = _mm256_set1_epi32(x.corrections[group * T + t]);
    if (kAsksEarly) fetch(scales + (group + kScaleGroupsAhead) * kRowBlock);
    for (int64_t i = x.fetch_begin * kLines / 8; i < x.fetch_end * kLines / 8; ++i)
      _mm_prefetch(reinterpret_cast<const char*>(next + (group * kLines + i) * 64), _MM_HINT_T1);
    for (const uint8_t* end = line + kLines * 64; line < end; line += 64) {
      if (kAsksEarly) fetch(line + kLinesAhead * 64);
      const __m256i stored[2] = {load_bytes(line), load_bytes(line + 32)};
#pragma GCC unroll 2
      for (int step = 0; step < Steps::kOfLine; ++step, quads += T, signs += T) {
        const __m256i weights[2] = {steps(stored[0], step), steps(stored[1], step)};
        for (int t = 0; t < T; ++t) add_products(sums[t], weights, quads[t], signs[t]);
      }
    }
    for (int half = 0; half < 2; ++half) {
      const auto* stored = reinterpret_cast<const __m128i*>(scales + group * kRowBlock + half * 8);
      const __m256 weight_scales = _mm256_cvtph_ps(_mm_loadu_si128(stored));
      for (int t = 0; t < T; ++t) {
        const __m256 scale = _mm256_mul_ps(weight_scales, _mm256_set1_ps(x.scales[group * T + t]));
        total[t][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t][half]), scale, total[t][half]);
      }
    }
  }
  for (int half = 0; half < 2; ++half) {
    const __m256 unit = _mm256_loadu_ps(w.block_units(block) + half * 8);
    for (int t = 0; t < T; ++t) _mm256_storeu_ps(y.of(t) + half * 8, _mm256_mul_ps(total[t][half], unit));
  }
}

__m256 upper(__m256i pairs) { return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(~0xffff))); }
__m256 lower(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }

// In the order of vdpbf16ps: the odd column of a pair first. The 16 rows make two chains of sums a token: with one, an
// addition would wait for the last.
template <int T>
void bf16_block(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w, int64_t block) {
  const uint8_t* line = w.block_data(block);
  const uint32_t* pairs = x.pairs;
  __m256 total[T][2];
  for (auto& token : total) token[0] = token[1] = _mm256_setzero_ps();
  for (const uint8_t* end = line + w.padded_cols() / 2 * 64; line < end; line += 64, pairs += T) {
    const __m256i stored[2] = {load_bytes(line), load_bytes(line + 32)};
    const __m256 odd[2] = {upper(stored[0]), upper(stored[1])}, even[2] = {lower(stored[0]), lower(stored[1])};
    for (int t = 0; t < T; ++t) {
      const __m256i values = _mm256_set1_epi32(static_cast<int>(pairs[t]));
      for (int half = 0; half < 2; ++half) {
        total[t][half] = _mm256_fmadd_ps(odd[half], upper(values), total[t][half]);
        total[t][half] = _mm256_fmadd_ps(even[half], lower(values), total[t][half]);
      }
    }
  }
  for (int t = 0; t < T; ++t)
    for (int half = 0; half < 2; ++half) _mm256_storeu_ps(y.of(t) + half * 8, total[t][half]);
}

template <int T>
void f32_block(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w, int64_t block) {
  const auto* data = reinterpret_cast<const float*>(w.block_data(block));
  __m256 low[T], high[T];
  for (int t = 0; t < T; ++t) low[t] = high[t] = _mm256_setzero_ps();
  for (int64_t col = 0; col < w.padded_cols(); ++col) {
    const __m256 first = _mm256_load_ps(data + col * kRowBlock), second = _mm256_load_ps(data + col * kRowBlock + 8);
    for (int t = 0; t < T; ++t) {
      const __m256 value = _mm256_broadcast_ss(x.values + col * T + t);
      low[t] = _mm256_fmadd_ps(first, value, low[t]);
      high[t] = _mm256_fmadd_ps(second, value, high[t]);
    }
  }
  for (int t = 0; t < T; ++t) {
    _mm256_storeu_ps(y.of(t), low[t]);
    _mm256_storeu_ps(y.of(t) + 8, high[t]);
  }
}

template <int T>
TileKernel kernel_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::int8:
      return each_block<integer_block<Int8Steps, T>>;
    case WeightFormat::code4:
      return each_block<integer_block<Code4Steps, T>>;
    case WeightFormat::bf16:
      return each_block<bf16_block<T>>;
    default:
      return each_block<f32_block<T>>;
  }
}

}  // namespace

TileKernel avx2_kernel(WeightFormat format, int tokens) {
  switch (tokens) {
    case 6:
      return each_block<f32_block<6>>;
    case 4:
      return kernel_of<4>(format);
    case 2:
      return kernel_of<2>(format);
    default:
      return kernel_of<1>(format);
  }
}

}  // namespace starling

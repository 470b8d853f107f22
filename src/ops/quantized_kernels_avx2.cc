// AVX2, the least that every file may use: 16 rows are two registers of 8. Bytes are widened to 16 bits before the
// products, because the 8-bit product of AVX2 (vpmaddubsw) saturates.
#include <immintrin.h>

#include "ops/quantized_kernels.h"

namespace starling {
namespace {

constexpr int64_t kGroupSteps = kScaleGroup / 4;

// Adds four columns of 8 rows; a row keeps its pairs of products in two neighbouring lanes of low or high.
struct RowDots {
  __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();  // rows 0-3, rows 4-7

  void add(__m256i signed_bytes, __m256i four_values) {
    const __m256i first = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(signed_bytes));
    const __m256i second = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(signed_bytes, 1));
    low = _mm256_add_epi32(low, _mm256_madd_epi16(first, four_values));
    high = _mm256_add_epi32(high, _mm256_madd_epi16(second, four_values));
  }
  __m256 sums() const {                                  // rows 0..7
    const __m256i pairs = _mm256_hadd_epi32(low, high);  // rows 0 1 4 5 | 2 3 6 7
    return _mm256_cvtepi32_ps(_mm256_permute4x64_epi64(pairs, _MM_SHUFFLE(3, 1, 2, 0)));
  }
};

__m256i widened(int32_t quad) { return _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(quad))); }

__m256i load(const uint8_t* data) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data)); }

// The signed weights of one step of 8 rows, from either format.
struct Int8Steps {
  explicit Int8Steps(const QuantizedMatrix&) {}
  __m256i operator()(const uint8_t* data, int64_t step, int half) const {
    return _mm256_xor_si256(load(data + step * 64 + half * 32), _mm256_set1_epi8(static_cast<char>(0x80)));
  }
};

struct Code4Steps {
  explicit Code4Steps(const QuantizedMatrix& w)
      : codebook(_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w.codebook().data())))) {}
  __m256i operator()(const uint8_t* data, int64_t step, int half) const {
    const __m256i packed = load(data + step / 2 * 64 + half * 32);
    const __m256i nibbles = step % 2 == 0 ? packed : _mm256_srli_epi16(packed, 4);
    return _mm256_shuffle_epi8(codebook, _mm256_and_si256(nibbles, _mm256_set1_epi8(0x0f)));
  }
  __m256i codebook;
};

template <class Steps>
void integer_block(float* y, const ActivationTile& x, const QuantizedMatrix& w, int64_t block) {
  const Steps weights(w);
  const uint8_t* data = w.block_data(block);
  const uint16_t* scales = w.block_scales(block);
  for (int token = 0; token < x.tokens; ++token) {
    for (int half = 0; half < 2; ++half) {
      __m256 total = _mm256_setzero_ps();
      for (int64_t group = 0; group < w.groups(); ++group) {
        RowDots dots;
        for (int64_t step = group * kGroupSteps; step < (group + 1) * kGroupSteps; ++step) {
          dots.add(weights(data, step, half), widened(x.quads[step * x.tokens + token]));
        }
        const __m256 weight_scales =
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(scales + group * kRowBlock + half * 8)));
        const __m256 scale = _mm256_mul_ps(weight_scales, _mm256_set1_ps(x.scales[group * x.tokens + token]));
        total = _mm256_fmadd_ps(dots.sums(), scale, total);
      }
      const __m256 unit = _mm256_loadu_ps(w.block_units(block) + half * 8);
      _mm256_storeu_ps(y + token * kRowBlock + half * 8, _mm256_mul_ps(total, unit));
    }
  }
}

__m256 upper(__m256i pairs) { return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(~0xffff))); }
__m256 lower(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }

// In the order of vdpbf16ps: the odd column of a pair first.
template <int T>
void bf16_block(float* y, const ActivationTile& x, const QuantizedMatrix& w, int64_t block) {
  const uint8_t* data = w.block_data(block);
  for (int half = 0; half < 2; ++half) {
    __m256 total[T];
    for (int t = 0; t < T; ++t) total[t] = _mm256_setzero_ps();
    for (int64_t pair = 0; pair < w.padded_cols() / 2; ++pair) {
      const __m256i weights = load(data + pair * 64 + half * 32);
      for (int t = 0; t < T; ++t) {
        const __m256i values = _mm256_set1_epi32(static_cast<int>(x.pairs[pair * T + t]));
        total[t] = _mm256_fmadd_ps(upper(weights), upper(values), total[t]);
        total[t] = _mm256_fmadd_ps(lower(weights), lower(values), total[t]);
      }
    }
    for (int t = 0; t < T; ++t) _mm256_storeu_ps(y + t * kRowBlock + half * 8, total[t]);
  }
}

using BlockKernel = void (*)(float* y, const ActivationTile& x, const QuantizedMatrix& w, int64_t block);
template <BlockKernel kernel>
void each_block(float* y, const ActivationTile& x, const QuantizedMatrix& w, int64_t first_block, int blocks) {
  for (int b = 0; b < blocks; ++b) kernel(y + b * x.tokens * kRowBlock, x, w, first_block + b);
}

}  // namespace

TileKernel avx2_kernel(WeightFormat format, int tokens) {
  if (format == WeightFormat::int8) return each_block<integer_block<Int8Steps>>;
  if (format == WeightFormat::code4) return each_block<integer_block<Code4Steps>>;
  switch (tokens) {
    case 6:
      return each_block<bf16_block<6>>;
    case 4:
      return each_block<bf16_block<4>>;
    case 2:
      return each_block<bf16_block<2>>;
    default:
      return each_block<bf16_block<1>>;
  }
}

}  // namespace starling

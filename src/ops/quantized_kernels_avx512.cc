// AVX-512 with VNNI: one 512-bit register holds a step of 16 rows; vpdpbusd adds four products of each row at once,
// vdpbf16ps two.

#include "ops/avx512.h"
#include "ops/quantized_kernels.h"

#define STARLING_INLINE inline __attribute__((always_inline))
#define STARLING_UNROLL _Pragma("GCC unroll 16")

namespace starling {
namespace {

constexpr int64_t kGroupSteps = kScaleGroup / 4;  // vpdpbusd steps in a group
// With so few tokens the weights come from memory: one stream of them, without fetching ahead, is read at the memory's
// pace, two side by side are a sixth slower.
constexpr int kTokensOfOneStream = 2;

template <int B>
struct Panel {  // the blocks of weights that are read side by side
  STARLING_INLINE Panel(const QuantizedMatrix& w, int64_t first_block)
      : to_next(w.block_data(kPanelBlocks) - w.block_data(0)) {
    STARLING_UNROLL
    for (int b = 0; b < B; ++b) data[b] = w.block_data(first_block + b);
  }
  // Asks for the line `offset` bytes ahead in each block of the panel after this one.
  STARLING_INLINE void fetch_line(int64_t offset) const {
    STARLING_UNROLL
    for (int b = 0; b < B; ++b) _mm_prefetch(reinterpret_cast<const char*>(data[b] + to_next + offset), _MM_HINT_T1);
  }
  // Asks for the tile's part of this group, of which a block has `lines` lines. Called halfway through the group: at
  // its start the requests would delay the group's own first loads.
  STARLING_INLINE void fetch_group(const ActivationTile& x, int64_t lines) const {
    for (int64_t line = x.fetch_begin * lines / 8; line < x.fetch_end * lines / 8; ++line) fetch_line(line * 64);
  }
  const uint8_t* data[B];
  int64_t to_next;  // bytes to the panel after this one
};

template <int T, int B>
struct Dots {
  STARLING_AVX512 STARLING_INLINE void start(const ActivationTile& x, int64_t group) {
    STARLING_UNROLL
    for (int t = 0; t < T; ++t) {
      const __m512i correction = _mm512_set1_epi32(x.corrections[group * T + t]);
      STARLING_UNROLL
      for (int b = 0; b < B; ++b) dot[b][t] = correction;
    }
  }
  STARLING_AVX512 STARLING_INLINE void add(const __m512i (&weights)[B], const int32_t* quads) {
    STARLING_UNROLL
    for (int t = 0; t < T; ++t) {
      const __m512i quad = _mm512_set1_epi32(quads[t]);
      STARLING_UNROLL
      for (int b = 0; b < B; ++b) dot[b][t] = _mm512_dpbusd_epi32(dot[b][t], weights[b], quad);
    }
  }
  __m512i dot[B][T];
};

template <int T, int B>
struct Totals {
  STARLING_AVX512 STARLING_INLINE Totals() {
    STARLING_UNROLL
    for (int b = 0; b < B; ++b) {
      STARLING_UNROLL
      for (int t = 0; t < T; ++t) total[b][t] = _mm512_setzero_ps();
    }
  }
  STARLING_AVX512 STARLING_INLINE void add_group(const Dots<T, B>& dots, const ActivationTile& x,
                                                 const QuantizedMatrix& w, int64_t first_block, int64_t group) {
    STARLING_UNROLL
    for (int b = 0; b < B; ++b) {
      const uint16_t* scales = w.block_scales(first_block + b) + group * kRowBlock;
      const __m512 weight_scales = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(scales)));
      STARLING_UNROLL
      for (int t = 0; t < T; ++t) {
        const __m512 scale = _mm512_mul_ps(weight_scales, _mm512_set1_ps(x.scales[group * T + t]));
        total[b][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots.dot[b][t]), scale, total[b][t]);
      }
    }
  }
  STARLING_AVX512 STARLING_INLINE void store_scaled(TileOutput y, const QuantizedMatrix& w, int64_t first_block) const {
    STARLING_UNROLL
    for (int b = 0; b < B; ++b) {
      const __m512 unit = _mm512_loadu_ps(w.block_units(first_block + b));
      STARLING_UNROLL
      for (int t = 0; t < T; ++t) _mm512_storeu_ps(y.of(t, b), _mm512_mul_ps(total[b][t], unit));
    }
  }
  STARLING_AVX512 STARLING_INLINE void store(TileOutput y) const {
    STARLING_UNROLL
    for (int b = 0; b < B; ++b) {
      STARLING_UNROLL
      for (int t = 0; t < T; ++t) _mm512_storeu_ps(y.of(t, b), total[b][t]);
    }
  }
  __m512 total[B][T];
};

template <int T, int B>
STARLING_AVX512 void int8_panel(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w, int64_t first_block) {
  Panel<B> panel(w, first_block);
  const int32_t* quads = x.quads;
  Totals<T, B> totals;
  for (int64_t group = 0; group < w.groups(); ++group) {
    Dots<T, B> dots;
    dots.start(x, group);
    STARLING_UNROLL
    for (int64_t step = 0; step < kGroupSteps; ++step, quads += T) {
      __m512i weights[B];
      STARLING_UNROLL
      for (int b = 0; b < B; ++b) weights[b] = _mm512_loadu_si512(panel.data[b] + step * 64);
      dots.add(weights, quads);
      if (step == kGroupSteps / 2) panel.fetch_group(x, kGroupSteps);
    }
    STARLING_UNROLL
    for (int b = 0; b < B; ++b) panel.data[b] += kGroupSteps * 64;
    totals.add_group(dots, x, w, first_block, group);
  }
  totals.store_scaled(y, w, first_block);
}

template <int T, int B>
STARLING_AVX512 void code4_panel(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w, int64_t first_block) {
  Panel<B> panel(w, first_block);
  const int32_t* quads = x.quads;
  const __m512i low_nibble = _mm512_set1_epi8(0x0f);
  const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w.codebook().data()));
  // + 128 makes the values unsigned, as vpdpbusd wants its first factor.
  const __m512i codebook = _mm512_xor_si512(_mm512_broadcast_i32x4(codes), _mm512_set1_epi8(static_cast<char>(0x80)));
  Totals<T, B> totals;
  for (int64_t group = 0; group < w.groups(); ++group) {
    Dots<T, B> dots;
    dots.start(x, group);
    STARLING_UNROLL
    for (int64_t pair = 0; pair < kGroupSteps / 2; ++pair, quads += 2 * T) {
      __m512i even[B], odd[B];
      STARLING_UNROLL
      for (int b = 0; b < B; ++b) {
        const __m512i packed = _mm512_loadu_si512(panel.data[b] + pair * 64);
        even[b] = _mm512_shuffle_epi8(codebook, _mm512_and_si512(packed, low_nibble));
        odd[b] = _mm512_shuffle_epi8(codebook, _mm512_and_si512(_mm512_srli_epi16(packed, 4), low_nibble));
      }
      dots.add(even, quads);
      dots.add(odd, quads + T);
      if (pair == kGroupSteps / 4) panel.fetch_group(x, kGroupSteps / 2);
    }
    STARLING_UNROLL
    for (int b = 0; b < B; ++b) panel.data[b] += kGroupSteps / 2 * 64;
    totals.add_group(dots, x, w, first_block, group);
  }
  totals.store_scaled(y, w, first_block);
}

template <int T, int B>
STARLING_AVX512_BF16 void bf16_panel(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w,
                                     int64_t first_block) {
  Panel<B> panel(w, first_block);
  const uint32_t* pairs = x.pairs;
  Totals<T, B> totals;
  for (int64_t pair = 0; pair < w.padded_cols() / 2; ++pair, pairs += T) {
    if (x.fetch_begin <= pair % 8 && pair % 8 < x.fetch_end) panel.fetch_line(0);
    __m512bh weights[B];
    STARLING_UNROLL
    for (int b = 0; b < B; ++b) {
      weights[b] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel.data[b]));
      panel.data[b] += 64;
    }
    STARLING_UNROLL
    for (int t = 0; t < T; ++t) {
      const auto two = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(pairs[t])));
      STARLING_UNROLL
      for (int b = 0; b < B; ++b) totals.total[b][t] = _mm512_dpbf16_ps(totals.total[b][t], weights[b], two);
    }
  }
  totals.store(y);
}

template <int T>
void int8_tile(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w, int64_t first_block, int blocks) {
  if constexpr (T <= kTokensOfOneStream) each_block<int8_panel<T, 1>>(y, x, w, first_block, blocks);
  else blocks == 2 ? int8_panel<T, 2>(y, x, w, first_block) : int8_panel<T, 1>(y, x, w, first_block);
}
template <int T>
void code4_tile(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w, int64_t first_block, int blocks) {
  if constexpr (T <= kTokensOfOneStream) each_block<code4_panel<T, 1>>(y, x, w, first_block, blocks);
  else blocks == 2 ? code4_panel<T, 2>(y, x, w, first_block) : code4_panel<T, 1>(y, x, w, first_block);
}
template <int T>
void bf16_tile(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w, int64_t first_block, int blocks) {
  blocks == 2 ? bf16_panel<T, 2>(y, x, w, first_block) : bf16_panel<T, 1>(y, x, w, first_block);
}

template <int T>
TileKernel kernel_of(WeightFormat format) {
  static const bool bf16_products = __builtin_cpu_supports("avx512bf16");
  if (format == WeightFormat::f32) return avx2_kernel(format, T);  // for exactness, not for speed
  if (format == WeightFormat::bf16) return bf16_products ? bf16_tile<T> : avx2_kernel(format, T);
  return format == WeightFormat::int8 ? int8_tile<T> : code4_tile<T>;
}

}  // namespace

TileKernel avx512_kernel(WeightFormat format, int tokens) {
  switch (tokens) {
    case 6:
      return kernel_of<6>(format);
    case 4:
      return kernel_of<4>(format);
    case 2:
      return kernel_of<2>(format);
    default:
      return kernel_of<1>(format);
  }
}

}  // namespace starling

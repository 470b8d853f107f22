#include "ops/attention_rows.h"

#include <cfloat>
#include <cmath>
#include <cstring>

#include "ops/bf16_lanes.h"

namespace starling {
namespace {

STARLING_AVX512_BF16 STARLING_INLINE inline __m512i from_zero() {
  return _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
}

// x . y of n bf16, a multiple of 32.
STARLING_AVX512_BF16 float dot(const bf16* x, const bf16* y, int64_t n) {
  __m512 sum = _mm512_setzero_ps();
  for (int64_t i = 0; i < n; i += kStep)
    sum = _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(_mm512_loadu_si512(x + i)),
                           reinterpret_cast<__m512bh>(_mm512_loadu_si512(y + i)));
  return _mm512_reduce_add_ps(sum);
}

}  // namespace

STARLING_AVX512_BF16 void hide_unseen(float* scores, int64_t tiles, int64_t first_row, int64_t first_key,
                                      const SeenKeys& seen) {
  for (int64_t tile = 0; tile < tiles; ++tile, scores += kTileSums, first_key += kTileSide) {
    // Starts grow from row to row.
    const bool all = first_key + kTileSide - 1 <= first_row && first_key >= seen.start(first_row + kTileSide - 1);
    if (all) continue;
    const __m512i keys = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first_key)), from_zero());
    for (int64_t r = 0; r < kTileSide; ++r) {
      const int64_t row = first_row + r;
      const __mmask16 later = _mm512_cmpgt_epi32_mask(keys, _mm512_set1_epi32(static_cast<int>(row)));
      const __mmask16 earlier = _mm512_cmplt_epi32_mask(keys, _mm512_set1_epi32(static_cast<int>(seen.start(row))));
      _mm512_mask_store_ps(scores + r * kTileSide, later | earlier, _mm512_set1_ps(-FLT_MAX));
    }
  }
}

STARLING_AVX512_BF16 void exponentials(std::byte* p, float* sums, float* lse, const float* scores, int64_t tiles,
                                       float scale) {
  const __m512 factor = _mm512_set1_ps(scale * kLog2OfE);
  __m512 rows[kTileSide];
  alignas(64) float offsets[kTileSide];
#pragma GCC unroll 16
  for (int r = 0; r < kTileSide; ++r) rows[r] = _mm512_load_ps(scores + r * kTileSide);
  for (int64_t tile = 1; tile < tiles; ++tile)
#pragma GCC unroll 16
    for (int r = 0; r < kTileSide; ++r)
      rows[r] = _mm512_max_ps(rows[r], _mm512_load_ps(scores + tile * kTileSums + r * kTileSide));
#pragma GCC unroll 16
  for (int r = 0; r < kTileSide; ++r) {
    offsets[r] = _mm512_reduce_max_ps(rows[r]) * (scale * kLog2OfE);
    rows[r] = _mm512_setzero_ps();
  }
  for (int64_t tile = 0; tile < tiles; ++tile) {
    std::byte* half = p + tile / 2 * kTileBytes + tile % 2 * (kTileLine / 2);
#pragma GCC unroll 16
    for (int r = 0; r < kTileSide; ++r) {
      const __m512 score = _mm512_load_ps(scores + tile * kTileSums + r * kTileSide);
      const __m512 power = power_of_two(_mm512_fmsub_ps(score, factor, _mm512_set1_ps(offsets[r])));
      rows[r] = _mm512_add_ps(rows[r], power);
      store_lanes(half + r * kTileLine, power);
    }
  }
  for (int r = 0; tiles % 2 == 1 && r < kTileSide; ++r)
    std::memset(p + tiles / 2 * kTileBytes + r * kTileLine + kTileLine / 2, 0, kTileLine / 2);
#pragma GCC unroll 16
  for (int r = 0; r < kTileSide; ++r) sums[r] = _mm512_reduce_add_ps(rows[r]);
  for (int r = 0; r < kTileSide; ++r) lse[r] = offsets[r] / kLog2OfE + std::log(sums[r]);
}

BackwardRows::BackwardRows(int64_t first_row, const float* lse, const ConstMatrix& out, const ConstMatrix& dout,
                           const SeenKeys& seen)
    : first_row(first_row) {
  const auto row_of = [](const ConstMatrix& m, int64_t row) {
    return static_cast<const bf16*>(m.data) + row * m.row_stride;
  };
  for (int64_t i = 0; i < kBlock; ++i) {
    const int64_t row = first_row + i;
    const bool inside = row < seen.length;
    offsets[i] = inside ? lse[row] * kLog2OfE : FLT_MAX;
    means[i] = inside ? dot(row_of(out, row), row_of(dout, row), out.columns) : 0;
    starts[i] = static_cast<int32_t>(seen.start(row));
  }
}

STARLING_AVX512_BF16 void backward_of_keys(const BackwardTiles& k, const BackwardRows& rows) {
  // even lines of 16 in the lower half, odd ones in the upper: pairs of both
  alignas(64) static constexpr uint16_t kPairs[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i pairs = _mm512_load_si512(kPairs);
  const __m512 factor = _mm512_set1_ps(k.scale * kLog2OfE), scale = _mm512_set1_ps(k.scale);
  for (int64_t tile = k.first_tile / 2 * 2; tile < k.first_tile; ++tile)
    for (int64_t key = 0; key < kTileSide; ++key)
      for (std::byte* left : {k.p, k.ds})
        std::memset(left + tile / 2 * kTileBytes + key * kTileLine + tile % 2 * (kTileLine / 2), 0, kTileLine / 2);
  for (int64_t tile = 0; tile < k.first_tile; ++tile) std::memset(k.ds_right + tile * kTileBytes, 0, kTileBytes / 2);
  for (int64_t tile = k.first_tile; tile < kBlockTiles; ++tile) {
    const __m512 offsets = _mm512_load_ps(rows.offsets + tile * kTileSide),
                 means = _mm512_load_ps(rows.means + tile * kTileSide);
    const __m512i starts = _mm512_load_si512(rows.starts + tile * kTileSide);
    const __m512i row =
        _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(rows.first_row + tile * kTileSide)), from_zero());
    const int64_t left = tile / 2 * kTileBytes + tile % 2 * (kTileLine / 2);
    for (int64_t pair = 0; pair < kTileSide / 2; ++pair) {
      __m512 ds[2];
#pragma GCC unroll 2
      for (int64_t i = 0; i < 2; ++i) {
        const int64_t key = 2 * pair + i, at = tile * kTileSums + key * kTileSide;
        const __m512i place = _mm512_set1_epi32(static_cast<int>(k.first_key + key));
        const __mmask16 seen = _mm512_cmple_epi32_mask(place, row) & _mm512_cmpge_epi32_mask(place, starts);
        const __m512 power = power_of_two(_mm512_fmsub_ps(_mm512_load_ps(k.scores + at), factor, offsets));
        const __m512 p = _mm512_maskz_mov_ps(seen, power);
        ds[i] = _mm512_mul_ps(_mm512_mul_ps(p, scale), _mm512_sub_ps(_mm512_load_ps(k.dp + at), means));
        store_lanes(k.p + left + key * kTileLine, p);
      }
      const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(ds[1], ds[0]));
      auto* lines = reinterpret_cast<__m256i*>(k.ds + left + 2 * pair * kTileLine);
      _mm256_store_si256(lines, _mm512_castsi512_si256(both));
      _mm256_store_si256(lines + 2, _mm512_extracti64x4_epi64(both, 1));
      _mm512_store_si512(k.ds_right + tile * kTileBytes + pair * kTileLine, _mm512_permutexvar_epi16(pairs, both));
    }
  }
}

STARLING_AVX512_BF16 void write_rows(const Matrix& to, int64_t first_column, const float* sums, int64_t tiles,
                                     const float* divisors) {
  for (int64_t row = 0; row < to.rows; ++row)
    for (int64_t tile = 0; tile < tiles; ++tile) {
      __m512 values = _mm512_load_ps(sums + tile * kTileSums + row * kTileSide);
      if (divisors) values = _mm512_div_ps(values, _mm512_set1_ps(divisors[row]));
      store_lanes(
          static_cast<bf16*>(const_cast<void*>(to.data)) + row * to.row_stride + first_column + tile * kTileSide,
          values);
    }
}

}  // namespace starling

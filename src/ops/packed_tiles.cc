#include "ops/packed_tiles.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>

namespace starling {
namespace {

// to = from^T, 8 x 8 dwords; strides in bytes. Out of AVX2, which every processor of this program has: on those with
// AMX two such shuffles start in a cycle, of 64 bytes one.
void transpose_eight(std::byte* to, const std::byte* from, int64_t stride) {
  __m256i row[8], pair[8], four[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) row[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i * stride));
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm256_unpacklo_epi32(row[i], row[i + 1]);
    pair[i + 1] = _mm256_unpackhi_epi32(row[i], row[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    four[i] = _mm256_unpacklo_epi64(pair[i], pair[i + 2]);
    four[i + 1] = _mm256_unpackhi_epi64(pair[i], pair[i + 2]);
    four[i + 2] = _mm256_unpacklo_epi64(pair[i + 1], pair[i + 3]);
    four[i + 3] = _mm256_unpackhi_epi64(pair[i + 1], pair[i + 3]);
  }
  auto store = [&](int i, __m256i value) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i * kTileLine), value);
  };
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    store(i, _mm256_permute2x128_si256(four[i], four[i + 4], 0x20));
    store(i + 4, _mm256_permute2x128_si256(four[i], four[i + 4], 0x31));
  }
}

void copy_tile(std::byte* to, const std::byte* from, int64_t stride) {
  for (int64_t line = 0; line < kTileSide; ++line) std::memcpy(to + line * kTileLine, from + line * stride, kTileLine);
}

// Pairs of rows of 16 side by side.
void interleave_tile(std::byte* to, const bf16* from, int64_t stride) {
  for (int64_t line = 0; line < kTileSide; ++line, from += 2 * stride) {
    const __m256i even = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)),
                  odd = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + stride));
    const __m256i low = _mm256_unpacklo_epi16(even, odd), high = _mm256_unpackhi_epi16(even, odd);
    auto* pairs = reinterpret_cast<__m256i*>(to + line * kTileLine);
    _mm256_storeu_si256(pairs, _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256(pairs + 1, _mm256_permute2x128_si256(low, high, 0x31));
  }
}

// A whole tile; the sides' or k's stride that is not 1, in elements.
void pack_whole_tile(std::byte* to, const bf16* from, int64_t stride, bool along_k, bool is_left) {
  alignas(64) std::byte interleaved[kTileBytes];
  const auto* bytes = reinterpret_cast<const std::byte*>(from);
  if (along_k) return is_left ? copy_tile(to, bytes, 2 * stride) : transpose_tile(to, bytes, 2 * stride);
  if (!is_left) return interleave_tile(to, from, stride);
  interleave_tile(interleaved, from, stride);
  transpose_tile(to, interleaved, kTileLine);
}

// What of a tile is inside of the matrix, among zeros.
void pack_edge_tile(std::byte* to, const TileOperand& x, int64_t first_side, int64_t first_k) {
  const bool along_k = x.k_stride == 1;
  const int64_t side_stride = along_k ? kStep : 1, k_stride = along_k ? 1 : kTileSide;
  bf16 inside[kTileSide * kStep] = {};
  for (int64_t side = 0; side < std::min(kTileSide, x.extent - first_side); ++side)
    for (int64_t k = 0; k < std::min(kStep, x.depth - first_k); ++k)
      inside[side * side_stride + k * k_stride] =
          x.data[(first_side + side) * x.side_stride + (first_k + k) * x.k_stride];
  pack_whole_tile(to, inside, along_k ? kStep : kTileSide, along_k, x.is_left);
}

void pack_tile(std::byte* to, const TileOperand& x, int64_t side, int64_t k) {
  if (side + kTileSide > x.extent || k + kStep > x.depth) return pack_edge_tile(to, x, side, k);
  const bool along_k = x.k_stride == 1;
  pack_whole_tile(to, x.data + side * x.side_stride + k * x.k_stride, along_k ? x.side_stride : x.k_stride, along_k,
                  x.is_left);
}

// The lines of a later step: eight steps on in the same rows, or where these end, the same step of the next tiles; or
// the next 32 rows. Inlined, as GCC takes a function that only asks for lines to have no effect, and leaves out its
// calls.
inline __attribute__((always_inline)) void fetch_ahead(const TileOperand& x, int64_t side, int64_t k, int64_t tiles) {
  constexpr int64_t kAhead = 8 * kStep;
  const bool along_k = x.k_stride == 1;
  if (!along_k) k += kStep;
  else if (k + kAhead < x.depth) k += kAhead;
  else side += tiles * kTileSide;
  const bf16* first = x.data + side * x.side_stride + k * x.k_stride;
  const int64_t rows = along_k ? kTileSide : kStep, stride = along_k ? x.side_stride : x.k_stride;
  for (int64_t row = 0; row < rows; ++row) __builtin_prefetch(first + row * stride);
}

}  // namespace

void transpose_tile(std::byte* to, const std::byte* from, int64_t stride) {
  for (int64_t row : {0, 8})
    for (int64_t column : {0, 8})
      transpose_eight(to + row * kTileLine + column * 4, from + column * stride + row * 4, stride);
}

TileOperand left_operand(const ConstMatrix& a) {
  return {static_cast<const bf16*>(a.data), a.rows, a.columns, a.row_stride, a.column_stride, true};
}

TileOperand right_operand(const ConstMatrix& b) {
  return {static_cast<const bf16*>(b.data), b.columns, b.rows, b.column_stride, b.row_stride, false};
}

void pack_panels(const PackedPanels& to, const TileOperand& x, Range panels, Range steps) {
  for (int64_t i = 0; i < panels.count() * steps.count(); ++i) {
    // In the order in which the operand lies in memory.
    const bool along_k = x.k_stride == 1;
    const int64_t panel = panels.first + (along_k ? i / steps.count() : i % panels.count()),
                  step = steps.first + (along_k ? i % steps.count() : i / panels.count());
    for (int64_t tile = 0; tile < to.tiles; ++tile) {
      const int64_t side = (panel * to.tiles + tile) * kTileSide;
      fetch_ahead(x, side, step * kStep, to.tiles);
      pack_tile(to.at(panel, step) + tile * kTileBytes, x, side, step * kStep);
    }
  }
}

}  // namespace starling

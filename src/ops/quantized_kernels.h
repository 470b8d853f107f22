// Private to ops: one kernel computes y for a tile of tokens and one or two blocks of 16 weight rows.
#pragma once

#include <cstdint>

#include "ops/quantized_matrix.h"

namespace starling {

// The activations of up to 6 tokens, interleaved so that a kernel walks them with one pointer. T is `tokens`.
struct ActivationTile {
  int tokens = 0;
  const int32_t* quads = nullptr;        // [K/4][T]: four rounded values in one word; for AVX2 their magnitudes
  const int32_t* signs = nullptr;        // [K/4][T]: for AVX2 alone: their signs, see kPositive
  const float* scales = nullptr;         // [K/32][T]
  const int32_t* corrections = nullptr;  // [K/32][T]: what the integer sum of a group starts from
  const uint32_t* pairs = nullptr;       // [K/2][T]: two values rounded to bf16, for bf16 weights
  const float* values = nullptr;         // [K][T]: as they are, for f32 weights
  // The part of the next panel's weights that a kernel asks memory for meanwhile, in eighths of each group's columns:
  // the last tiles that pass over a panel find it in the cache and leave the memory idle.
  int fetch_begin = 0, fetch_end = 0;
};

// Weights reach the kernels as u = w + 128, the unsigned factor that VNNI wants: the sum of a group is sum(u x) - 128
// sum(x). AVX2 would saturate; there |x| is the unsigned factor, and u ^ kPositive = w meets it, or for x < 0
// u ^ kNegative = -w - 1, so that sum lacks the |x| of all x < 0. (vpsignb, which negates by sign, takes a multiplier's
// place on AMD's Zen.)
inline constexpr uint8_t kPositive = 0x80, kNegative = 0x7f;

inline constexpr int kTileTokens[] = {6, 4, 2, 1};  // sizes of tiles that kernels are compiled for
// Two blocks share the loading of activations, and 2 x 6 sums hide the latency of a product in 32 registers.
inline constexpr int kPanelBlocks = 2;

// Where the y of a tile go: 16 of each block of weight rows side by side, those of the next token `stride` later.
struct TileOutput {
  float* first;
  int64_t stride;
  float* of(int64_t token, int64_t block = 0) const { return first + token * stride + block * kRowBlock; }
};

// `blocks` is 1 or 2.
using TileKernel = void (*)(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w, int64_t first_block,
                            int blocks);

// A tile's kernel made of one for a single block.
using BlockKernel = void (*)(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w, int64_t block);
template <BlockKernel kernel>
void each_block(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w, int64_t first_block, int blocks) {
  for (int b = 0; b < blocks; ++b) kernel({y.of(0, b), y.stride}, x, w, first_block + b);
}

TileKernel reference_kernel(WeightFormat format);
TileKernel avx2_kernel(WeightFormat format, int tokens);
// The best kernels for this processor's AVX-512: bf16 products by vdpbf16ps where it has them.
TileKernel avx512_kernel(WeightFormat format, int tokens);

}  // namespace starling

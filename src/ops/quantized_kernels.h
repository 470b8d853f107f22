// Private to ops: one kernel computes y for a tile of tokens and one block of 16 weight rows.
#pragma once

#include <cstdint>

#include "ops/quantized_matrix.h"

namespace starling {

// The activations of up to 12 tokens, interleaved so that a kernel walks them with one pointer. T is `tokens`.
struct ActivationTile {
  int tokens = 0;
  const int32_t* quads = nullptr;        // [K/4][T]: four rounded values in one word
  const float* scales = nullptr;         // [K/32][T]
  const int32_t* corrections = nullptr;  // [K/32][T]: -128 * sum of the rounded values (weights are stored + 128)
  const float* values = nullptr;         // [K][T], for bf16 weights
};

inline constexpr int kTileTokens[] = {12, 8, 4, 2, 1};  // sizes of tiles that kernels are compiled for

// y is [T][16].
using TileKernel = void (*)(float* y, const ActivationTile& x, const QuantizedMatrix& w, int64_t block);

TileKernel reference_kernel(WeightFormat format);
TileKernel avx2_kernel(WeightFormat format, int tokens);
TileKernel avx512_kernel(WeightFormat format, int tokens);

}  // namespace starling

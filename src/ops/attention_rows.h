// Private to ops: what bf16 attention on tiles (attention_tiles.h) does between its products, on 16 rows or keys at
// once. Scores and other sums are tiles [16][16] f32. Processors with AVX-512's bf16 alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/matmul.h"
#include "ops/tile_products.h"
#include "tensor/bfloat16.h"

namespace starling {

// Of a sequence's rows, the first key that each sees.
struct SeenKeys {
  const int32_t* starts;
  int64_t length;
  // A row past the end sees itself.
  int64_t start(int64_t row) const { return row < length ? starts[row] : row; }
};

// Scores of 16 rows from one on with keys from one on, [tiles]: those of unseen keys become so low that their power is
// 0.
void hide_unseen(float* scores, int64_t tiles, int64_t first_row, int64_t first_key, const SeenKeys& seen);

// Of 16 rows of scores [tiles]: e^(scale (score - the row's largest)) as tiles of a left operand, and of each row the
// sum of these, and lse.
void exponentials(std::byte* p, float* sums, float* lse, const float* scores, int64_t tiles, float scale);

// Of a block of rows: what turns scores into gradients.
struct BackwardRows {
  BackwardRows(int64_t first_row, const float* lse, const ConstMatrix& out, const ConstMatrix& dout,
               const SeenKeys& seen);

  alignas(64) float offsets[kBlock];  // lse log2(e); past the end so high that a power is 0
  alignas(64) float means[kBlock];    // sum_s p dp = out . dout
  alignas(64) int32_t starts[kBlock];
  int64_t first_row;
};

// Of 16 keys, one of a pair of tiles, by the rows of a block from `first_tile` on: P^T and dS^T as left operands, dS^T
// as half a step of a right one; 0 where a row does not see a key.
struct BackwardTiles {
  std::byte *p, *ds, *ds_right;
  const float *scores, *dp;
  int64_t first_key, first_tile;
  float scale;
};
void backward_of_keys(const BackwardTiles& keys, const BackwardRows& rows);

// 16 or fewer rows of bf16, from a column on, rounded from sums [tiles]; of each row divided by its divisor.
void write_rows(const Matrix& to, int64_t first_column, const float* sums, int64_t tiles,
                const float* divisors = nullptr);

}  // namespace starling

// Private to ops: products on AMX (amx.h), 16 tokens with the 16 rows of a weight block, 32 columns at a time.
//   int8 and code4: the sums of 32 columns, which share a scale, are exact integers: the bits of every other kernel.
//   bf16: y += (sum over the even columns) + (sum over the odd ones) of each 32, by fma in f32, and numbers below
//   2^-126
//     count as 0. Another order than the other kernels', so AMX takes all tokens or none.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, TDPBSSD and TDPBF16PS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ops/amx.h"
#include "ops/quantized_matrix.h"

namespace starling {

// Of so many tokens, the first that AMX should take.
int64_t amx_tokens(int64_t tokens, WeightFormat format);

// Tokens in tiles of 16, the last filled up with zeros. The buffers only grow.
class AmxActivations {
 public:
  static constexpr int64_t kTokens = 16;  // of a tile

  void fill(const float* x, int64_t tokens, const QuantizedMatrix& w);
  int64_t tokens() const { return tokens_; }
  int64_t tiles() const { return (tokens_ + kTokens - 1) / kTokens; }
  // [K/32][16 tokens][32 columns], int8 or bf16, and [K/32][16], for int8
  const std::byte* rows(int64_t tile) const { return rows_[static_cast<size_t>(tile * groups_) * group_lines_].bytes; }
  const float* scales(int64_t tile) const { return scales_.data() + tile * groups_ * kTokens; }

 private:
  int64_t columns(int64_t token, int64_t group) const;
  int64_t place(int64_t token, int64_t group) const;  // of its 32 columns in rows_, and of their scale
  void fill_int8(const float* x, int64_t token, int64_t group);
  void fill_bf16(const float* x, int64_t token, int64_t group);

  int64_t tokens_ = 0, cols_ = 0, groups_ = 0;
  size_t group_lines_ = 0;  // of a tile
  std::vector<AmxLine> rows_;
  std::vector<float> scales_;
};

// Of the registers that amx_multiply wants for such weights; int8 and code4 are alike.
std::vector<AmxTiles::Shape> amx_shapes(WeightFormat format);

// y [tokens, w.rows()] of `blocks` (1 or 2) blocks of 16 rows.
void amx_multiply(float* y, const AmxActivations& x, const QuantizedMatrix& w, int64_t first_block, int blocks);

}  // namespace starling

// Private to infer: the two products of attention between one page of a sequence and the queries of a few heads.
#pragma once

#include <cstdint>

namespace starling {

// For H = `heads` queries [H][d], one after another. Every kernel sums in the same order, so their bits are the same.
struct AttentionKernels {
  int most_heads;
  // scores[h][p] = scale * q[h] . key p for the keys [d][16 positions]: the sum of the even columns, then that of the
  // odd ones. A head's scores begin `stride` values after those of the head before it.
  void (*dots)(int heads, float* scores, int64_t stride, const float* q, const float* keys, int64_t d, float scale);
  // sums[h] += sum_r weights[h][r] * values[r] for `count` rows [d], in their order.
  void (*add_rows)(int heads, float* sums, const float* weights, int64_t stride, const float* values, int64_t count,
                   int64_t d);
};

const AttentionKernels& avx2_attention();
const AttentionKernels& avx512_attention();

}  // namespace starling

// Causal attention inside documents. For a row t of a sequence, head h (of H) and its key head k = h / (H / Hkv):
//   out[t] = sum_{s = start(t)}^{t} p[t,s] v[s],   p[t,s] = softmax_s(c(q[t] . k[s] / sqrt(D)))
// c(x) = x, or with a cap c(x) = cap tanh(x / cap), on the CPU alone (Grok-1, github.com/xai-org/grok-1).
// start(t) is the first row of t's document, so that posts packed into one sequence do not see each other.
// Computed in blocks of rows with only the keys that a block can see; p is not kept but made again for backward from
//   lse[b,h,t] = log sum_s e^c(q.k / sqrt(D)).   Source: Dao et al. 2022, arXiv:2205.14135.
//   qkv [B*T, (H + 2 Hkv) D]: queries, keys, values;  out [B*T, H D];  both f32 or both bf16.
//   document_starts [B*T] i32: place in its own sequence of the first row of the row's document;  lse [B,H,T] f32.
// Sums and softmax in f32. Throws ShapeError.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace starling {

struct AttentionShape {
  int64_t sequences = 1;  // B
  int64_t length = 1;     // T
  int64_t heads = 1;      // H
  int64_t kv_heads = 1;   // Hkv, divides H
  int64_t head_size = 2;  // D
  float cap = 0;          // of the scores; 0: none
};

void attention_forward(Tensor out, Tensor lse, ConstTensor qkv, ConstTensor document_starts,
                       const AttentionShape& shape);
// dqkv is assigned.
void attention_backward(Tensor dqkv, ConstTensor dout, ConstTensor qkv, ConstTensor out, ConstTensor lse,
                        ConstTensor document_starts, const AttentionShape& shape);

}  // namespace starling

// Private to ops: bf16 attention (attention.h) of heads of 64 elements, or a multiple of it, without a cap, on packed
// tiles (packed_tiles.h) by the instructions for products of bf16.
//
// A task is one key head of one sequence, its queries in blocks of 64 rows. Scores are kept for all keys that a block
// sees; tiles above the diagonal are left out. Backward works on transposes, keys by rows:
//   S^T = K Q^T,  dP^T = V dO^T;   P^T and dS^T as they are made are the left operands of  dV += P^T dO, dK += dS^T Q,
// and dS^T is the right one of dQ^T = K^T dS^T, so that no square matrix is turned.
#pragma once

#include <optional>

#include "ops/attention.h"

namespace starling {

// All but amx run where use_avx512_bf16() (vector_math.h). plain: amx's sums without it, slowly, for tests
enum class AttentionUnit { avx512, amx, plain };

// The unit for these operands; none: attention is made of products of any shape.
std::optional<AttentionUnit> attention_unit(DType operands, const AttentionShape& shape);

void attention_forward_in_tiles(AttentionUnit unit, Tensor out, Tensor lse, ConstTensor qkv,
                                ConstTensor document_starts, const AttentionShape& shape);
void attention_backward_in_tiles(AttentionUnit unit, Tensor dqkv, ConstTensor dout, ConstTensor qkv, ConstTensor out,
                                 ConstTensor lse, ConstTensor document_starts, const AttentionShape& shape);

}  // namespace starling

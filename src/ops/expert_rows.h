// The tokens of a mixture's experts as rows: every token once for each expert that it chose, those of one expert side
// by side, so that an expert's share is one matrix. No expert has a limit, and no token is dropped.
//
// Legend: N tokens, C channels, E experts, K of them a token; N K rows.
//   chosen [N,K] i32, different experts in a line;  rows [N,K] i32, the row of token n for chosen[n,k]
//   load [E] i32, the rows of each expert: e's begin after those of the experts before it, in the order of the tokens
//   x, y, dy of rows or tokens f32 or bf16 as said;  w, dw [N,K] f32
// Sums in f32 and in the order of k: neither threads nor other tokens change a bit. Throws ShapeError.
#pragma once

#include "tensor/tensor.h"

namespace starling {

// Throws DataError for an expert outside 0..E-1.
void sort_expert_rows(Tensor rows, Tensor load, ConstTensor chosen);

// y[rows[n,k],:] = x[n,:]       y [NK,C], x [N,C], both f32 or both bf16
void gather_expert_rows(Tensor y, ConstTensor x, ConstTensor rows);
// dx[n,:] += sum_k dy[rows[n,k],:]       dx [N,C] f32, dy [NK,C] f32 or bf16
void gather_expert_rows_backward(Tensor dx, ConstTensor dy, ConstTensor rows);

// y[n,:] += sum_k w[n,k] x[rows[n,k],:]       y [N,C] f32, x [NK,C] f32 or bf16
void combine_expert_rows(Tensor y, ConstTensor x, ConstTensor rows, ConstTensor w);
// dx[rows[n,k],:] = w[n,k] dy[n,:];   dw[n,k] = dy[n,:] . x[rows[n,k],:]       dx, dy, x all f32 or all bf16
void combine_expert_rows_backward(Tensor dx, Tensor dw, ConstTensor dy, ConstTensor x, ConstTensor rows, ConstTensor w);

}  // namespace starling

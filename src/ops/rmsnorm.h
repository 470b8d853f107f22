// y[n,c] = x[n,c] * rstd[n] * w[c],   rstd[n] = 1 / sqrt(mean_c x[n,c]^2 + eps)
// Source: Zhang & Sennrich 2019, arXiv:1910.07467.
//   x [N,C] f32 (the residual stream);  y [N,C] f32 or bf16;  w [C] f32;  rstd [N] f32, kept for backward;  eps > 0.
// Sums in f32. y must not alias x. Throws ShapeError.
#pragma once

#include "tensor/tensor.h"

namespace starling {

void rmsnorm_forward(Tensor y, Tensor rstd, ConstTensor x, ConstTensor w, float eps);

// dx[n,c] += rstd[n] (g[n,c] - x[n,c] rstd[n]^2 mean_c(g[n,c] x[n,c])),  g = dy * w
// dw[c]   += sum_n dy[n,c] x[n,c] rstd[n]
//   dx [N,C] f32: the gradient of the residual stream that the norm branched from, hence +=.
void rmsnorm_backward(Tensor dx, Tensor dw, ConstTensor dy, ConstTensor x, ConstTensor w, ConstTensor rstd);

}  // namespace starling

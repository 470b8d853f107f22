// A linear layer without bias. y[n,o] = sum_i x[n,i] w[o,i]
//   x [N,I], y [N,O], w [O,I]: all f32 or all bf16, y may be f32 with bf16 operands; dw f32. Sums in f32. Throws
//   ShapeError.
#pragma once

#include "ops/matmul.h"
#include "tensor/tensor.h"

namespace starling {

void linear_forward(Tensor y, ConstTensor x, ConstTensor w, Accumulate accumulate = Accumulate::no);
// dx[n,i] = sum_o dy[n,o] w[o,i]
void linear_backward_input(Tensor dx, ConstTensor dy, ConstTensor w);
// dw[o,i] += sum_n dy[n,o] x[n,i]; an empty dw is left out (a weight that is not trained)
void linear_backward_weight(Tensor dw, ConstTensor dy, ConstTensor x);

// The same for rectangles of tensors.
void linear_forward(Matrix y, ConstMatrix x, ConstMatrix w, Accumulate accumulate = Accumulate::no);
void linear_backward_input(Matrix dx, ConstMatrix dy, ConstMatrix w);
void linear_backward_weight(Matrix dw, ConstMatrix dy, ConstMatrix x);

}  // namespace starling

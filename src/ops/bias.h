// y[n,o] += bias[o], and its gradient dbias[o] += sum_n dy[n,o].
//   y, dy [N,O] f32 or bf16;  bias, dbias [O] f32. The sum runs over n in order, in f32, whatever the number of
//   threads. Throws ShapeError.
#pragma once

#include "tensor/tensor.h"

namespace starling {

void bias_forward(Tensor y, ConstTensor bias);
void bias_backward(Tensor dbias, ConstTensor dy);

}  // namespace starling

// y[n,f] = silu(gate[n,f]) * up[n,f],   silu(g) = g / (1 + e^-g)
// Source: Shazeer 2020, arXiv:2002.05202.
//   gate_up [N,2F]: F columns of gate, then F of up;  y [N,F];  both f32 or both bf16. Throws ShapeError.
#pragma once

#include "tensor/tensor.h"

namespace starling {

void swiglu_forward(Tensor y, ConstTensor gate_up);
// dgate = dy * up * s (1 + gate (1 - s)),  dup = dy * gate * s,  s = 1 / (1 + e^-gate)
void swiglu_backward(Tensor dgate_up, ConstTensor dy, ConstTensor gate_up);

}  // namespace starling

// y[n,f] = a(gate[n,f]) * up[n,f],   a(g) = g / (1 + e^-z(g))
//   silu:  z(g) = g
//   gelu:  z(g) = 2 sqrt(2/pi) (g + 0.044715 g^3), the form with tanh: g/2 (1 + tanh(z/2)); on the CPU alone
// Sources: Shazeer 2020, arXiv:2002.05202 (SwiGLU, GEGLU); Hendrycks & Gimpel 2016, arXiv:1606.08415.
//   gate_up [N,2F]: F columns of gate, then F of up;  y [N,F];  both f32 or both bf16. Throws ShapeError.
#pragma once

#include "tensor/tensor.h"

namespace starling {

enum class Gate { silu, gelu };
inline constexpr float kGeluScale = 1.59576912f, kGeluCubic = 0.044715f;  // 2 sqrt(2 / pi), and of g^3

void swiglu_forward(Tensor y, ConstTensor gate_up, Gate gate = Gate::silu);
// dgate = dy * up * s (1 + gate z'(gate) (1 - s)),  dup = dy * gate * s,  s = 1 / (1 + e^-z(gate))
void swiglu_backward(Tensor dgate_up, ConstTensor dy, ConstTensor gate_up, Gate gate = Gate::silu);

}  // namespace starling

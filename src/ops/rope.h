// Rotary positions, in place. For pair (i, i + D/2) of a head at position p, with angle a = p * frequency[i], plainly
// frequency[i] = theta^(-2i/D):
//   x'[i] = x[i] cos a - x[i+D/2] sin a,   x'[i+D/2] = x[i+D/2] cos a + x[i] sin a
// Source: Su et al. 2021, arXiv:2104.09864, with the halves laid out as Hugging Face's Llama has them.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/tensor.h"

namespace starling {

// table [P, D]: cos of the D/2 angles, then sin of them, for positions 0..P-1, times `magnitude`. f32.
// frequencies: D/2 radians a position. Throws ShapeError.
void rope_fill_table(Tensor table, std::span<const double> frequencies, double magnitude = 1.0);

// x [N, S] f32 or bf16, of which the first `heads` * D columns are rotated (queries, then keys); positions [N] i32
// below P.
void rope_forward(Tensor x, ConstTensor table, ConstTensor positions, int64_t heads);
// The gradient: the rotation by the negative angle, in place.
void rope_backward(Tensor dx, ConstTensor table, ConstTensor positions, int64_t heads);

}  // namespace starling

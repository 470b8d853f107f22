// Loops over equal shapes.
#pragma once

#include "tensor/tensor.h"

namespace starling {

void convert(Tensor y, ConstTensor x);  // y = x, between f32 and bf16
void add(Tensor y, ConstTensor x);      // y += x, f32
void scale(Tensor x, float factor);     // x *= factor, f32
double sum_of_squares(ConstTensor x);   // f32; partial sums in double over fixed ranges: no thread count changes it

}  // namespace starling

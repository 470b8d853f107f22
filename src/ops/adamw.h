// AdamW, one pass over flat memory:
//   m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,
//   w = w - lr ( (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) + decay w )
// Source: Loshchilov & Hutter 2019, arXiv:1711.05101.   w, m, v, g f32 of one shape. Throws ShapeError.
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace starling {

struct AdamWOptions {
  float learning_rate = 1e-3f;
  float beta1 = 0.9f, beta2 = 0.95f, epsilon = 1e-8f;
  float weight_decay = 0.0f;
  float gradient_scale = 1.0f;  // multiplies g first: clipping without a pass of its own
  int64_t step = 1;             // t, from 1
};

void adamw_step(Tensor w, Tensor m, Tensor v, ConstTensor g, const AdamWOptions& options);

}  // namespace starling

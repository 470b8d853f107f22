// Whose kernels make the bf16 products of a run on the CPU: train.products.
#pragma once

#include <cstdint>

#include "core/config.h"
#include "ops/matmul.h"

namespace starling {

struct ProductRates {
  double onednn_flops, amx_flops;  // operations a second
};

// The three products of a linear layer, x [tokens,in] w^T [in,out], timed in turn with both for about half a second and
// at least twice; the fastest round counts. Leaves oneDNN's in use. For a processor that has both.
ProductRates measure_products(int64_t tokens, int64_t in, int64_t out);

// Own ones have to be a fifth faster: oneDNN's are tried on more machines.
ProductKernels faster_products(const ProductRates& rates);

// train.products = auto becomes what is faster here at the widest layer of the run's blocks, so that a run keeps it
// when it is resumed: other kernels give other bits. Measures and logs only where there is a choice, else it is onednn.
void settle_products(Config& config);

}  // namespace starling

// The sum of squares without waiting for it.
#pragma once

#include <cstdint>

namespace starling::cuda {

int64_t sum_of_squares_places(int64_t count);  // doubles that `sums` must hold
// sums[0] = sum_i x[i]^2, on the device; the rest of `sums` holds parts.
void sum_of_squares(double* sums, const float* x, int64_t count);

}  // namespace starling::cuda

// What matmul.cc asks of matmul_cpu.cc beside the kernel. Arguments are checked.
#pragma once

#include "ops/matmul.h"

namespace starling {

void multiply_on_this_thread(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate);
bool cpu_has_bf16_products();

}  // namespace starling

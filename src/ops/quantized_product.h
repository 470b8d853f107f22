// y[m,n] = sum_k x[m,k] W[n,k]     x [M,K] f32, y [M,N] f32, W a QuantizedMatrix [N,K].
//
// code4 and int8 weights: x is rounded to 8 bits in groups of 32 columns, xs[m,g] = max |x| / 127, and
//   y[m,n] = unit[n] * sum_g (ws[n,g] * xs[m,g]) * sum_{k in g} q[n,k] xq[m,k]    inner sum in integers, outer in f32
//   by fma
// bf16 weights: x is rounded to bf16; y[m,n] = sum_k by fma in f32, of each pair of columns the odd one first.
// The order of the sums is fixed and the same in every kernel: a row of y has the same bits in any batch, with any
// number of threads, and with any instruction set; but bf16 on AMX has an order of its own (quantized_kernels_amx.h).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "ops/quantized_matrix.h"

namespace starling {

enum class InstructionSet { reference, avx2, avx512_vnni, amx };

InstructionSet best_instruction_set();  // of this processor, which has all before it
std::string_view instruction_set_name(InstructionSet instructions);

// One x times several matrices of the same number of columns, either all bf16 or none: x is rounded once.
struct QuantizedProduct {
  float* y = nullptr;  // [tokens, w->rows()], contiguous; must not overlap x
  const QuantizedMatrix* w = nullptr;
};

// x is [tokens, columns], contiguous. Throws ShapeError for matrices that do not belong together.
void quantized_products(std::span<const QuantizedProduct> products, const float* x, int64_t tokens,
                        InstructionSet instructions = best_instruction_set());
void quantized_product(float* y, const float* x, int64_t tokens, const QuantizedMatrix& w,
                       InstructionSet instructions = best_instruction_set());

}  // namespace starling

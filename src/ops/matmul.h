// Matrix products, on oneDNN, cuBLASLt or kernels of our own for AMX. c[m,n] = sum_k a[m,k] b[k,n]; f32 or bf16
// operands, sums in f32.
//
// Each processor type gets its fastest path at run time. bf16 operands need AVX-512; without it they are widened to f32
// first, which is correct but slow: prefer f32 there (bf16_products_are_fast).
#pragma once

#include <cstdint>

#include "tensor/tensor.h"

namespace starling {

// A rectangle of a tensor, or its transpose. One of the strides is 1; strides count elements.
struct ConstMatrix {
  const void* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0, columns = 0;
  int64_t row_stride = 0, column_stride = 1;
  Device device = Device::cpu;
};
struct Matrix : ConstMatrix {};

ConstMatrix as_matrix(const ConstTensor& tensor);  // of rank 2
Matrix as_matrix(const Tensor& tensor);
ConstMatrix transposed(ConstMatrix matrix);
ConstMatrix block(ConstMatrix matrix, int64_t first_row, int64_t rows, int64_t first_column, int64_t columns);
Matrix block(Matrix matrix, int64_t first_row, int64_t rows, int64_t first_column, int64_t columns);

enum class Accumulate { no, yes };  // yes: c += a b, c in f32

// On the CPU all compute threads, split along the longer side of c; not to be called inside parallel_for. Throws
// ShapeError, DeviceError.
void matmul(Matrix c, ConstMatrix a, ConstMatrix b, Accumulate accumulate = Accumulate::no);
// The same on the calling thread only, for matrices in the host's memory.
void matmul_serial(Matrix c, ConstMatrix a, ConstMatrix b, Accumulate accumulate = Accumulate::no);

// Whose kernels make matmul's bf16 products on the CPU, in the whole process; oneDNN's at first. Own ones for
// processors with AMX sum in another order (matmul_amx.h), so their bits differ. matmul_serial and f32 stay with
// oneDNN.
enum class ProductKernels { onednn, amx };
const char* name_of(ProductKernels kernels);
bool has_products(ProductKernels kernels);  // on this processor
void use_products(ProductKernels kernels);  // not beside a product; throws DeviceError where they are not there
ProductKernels products_in_use();

bool bf16_products_are_fast(Device device = Device::cpu);

// Operations a second (a multiply-add is two) that the device reaches on a bf16 or f32 product of square matrices of
// random numbers (side 1024 on a CPU, with all compute threads, and 8192 on a GPU): the limit that "percent of peak"
// refers to. Takes about `seconds`.
double measure_matmul_flops(DType dtype, double seconds = 0.3, Device device = Device::cpu);

}  // namespace starling

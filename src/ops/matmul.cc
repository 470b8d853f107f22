#include "ops/matmul.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "core/error.h"
#include "core/random.h"
#include "core/threads.h"
#include "core/time.h"
#include "ops/amx.h"
#include "ops/kernels.h"
#include "ops/matmul_cpu.h"
#include "tensor/buffer.h"
#include "tensor/device.h"

namespace starling {
namespace {

std::atomic<ProductKernels> kernels_in_use{ProductKernels::onednn};

template <class M>
M part_of(M matrix, int64_t first_row, int64_t rows, int64_t first_column, int64_t columns) {
  if (first_row < 0 || first_column < 0 || first_row + rows > matrix.rows || first_column + columns > matrix.columns)
    throw ShapeError(fmt::format("block {}+{} x {}+{} is outside a {} x {} matrix", first_row, rows, first_column,
                                 columns, matrix.rows, matrix.columns));
  const int64_t offset = first_row * matrix.row_stride + first_column * matrix.column_stride;
  matrix.data = static_cast<const std::byte*>(matrix.data) + offset * size_of(matrix.dtype);
  matrix.rows = rows;
  matrix.columns = columns;
  return matrix;
}

void check(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate) {
  if (c.rows != a.rows || c.columns != b.columns || a.columns != b.rows)
    throw ShapeError(fmt::format("matmul: {} x {} = {} x {} times {} x {}", c.rows, c.columns, a.rows, a.columns,
                                 b.rows, b.columns));
  if (a.dtype != b.dtype || a.dtype == DType::i32) throw ShapeError("matmul: both operands must be f32 or both bf16");
  if (a.device != c.device || b.device != c.device) throw DeviceError("matmul: matrices on different devices");
  if (c.column_stride != 1) throw ShapeError("matmul: the result must not be a transpose");
  if (accumulate == Accumulate::yes && c.dtype != DType::f32)
    throw ShapeError("matmul: only an f32 result accumulates");
  if (a.dtype == DType::f32 && c.dtype == DType::bf16) throw ShapeError("matmul: f32 operands give an f32 result");
}

// A GPU's clock falls with the bits that change: zeros would promise too much.
void fill_randomly(Tensor tensor, uint64_t stream) {
  const HostDraft draft(tensor);
  dispatch_float(tensor.dtype(), "operand", [&]<class T>(T) {
    T* values = draft.tensor().as<T>();
    parallel_for(tensor.elements(), 65536, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        values[i] = from_float<T>(random_normal(1, stream, static_cast<uint64_t>(i)));
    });
  });
  draft.store();
}

}  // namespace

ConstMatrix as_matrix(const ConstTensor& tensor) {
  if (tensor.shape().rank() != 2)
    throw ShapeError(fmt::format("a matrix has two extents, not {}", tensor.shape().to_string()));
  return {tensor.address(), tensor.dtype(), tensor.extent(0), tensor.extent(1), tensor.extent(1), 1, tensor.device()};
}

Matrix as_matrix(const Tensor& tensor) { return {as_matrix(static_cast<const ConstTensor&>(tensor))}; }

ConstMatrix transposed(ConstMatrix matrix) {
  std::swap(matrix.rows, matrix.columns);
  std::swap(matrix.row_stride, matrix.column_stride);
  return matrix;
}

ConstMatrix block(ConstMatrix matrix, int64_t first_row, int64_t rows, int64_t first_column, int64_t columns) {
  return part_of(matrix, first_row, rows, first_column, columns);
}

Matrix block(Matrix matrix, int64_t first_row, int64_t rows, int64_t first_column, int64_t columns) {
  return part_of(matrix, first_row, rows, first_column, columns);
}

void matmul(Matrix c, ConstMatrix a, ConstMatrix b, Accumulate accumulate) {
  check(c, a, b, accumulate);
  if (c.rows == 0 || c.columns == 0) return;
  with_kernels(c.device, [&](auto kernels) { kernels.matmul(c, a, b, accumulate); });
}

void matmul_serial(Matrix c, ConstMatrix a, ConstMatrix b, Accumulate accumulate) {
  check(c, a, b, accumulate);
  if (c.device != Device::cpu) throw DeviceError("matmul: a product on one thread wants matrices on the CPU");
  if (c.rows == 0 || c.columns == 0) return;
  multiply_on_this_thread(c, a, b, accumulate);
}

const char* name_of(ProductKernels kernels) { return kernels == ProductKernels::amx ? "amx" : "onednn"; }

bool has_products(ProductKernels kernels) { return kernels == ProductKernels::onednn || amx_is_there(); }

void use_products(ProductKernels kernels) {
  if (!has_products(kernels))
    throw DeviceError("this processor has no AMX with bf16, or Linux does not give it to this process: choose onednn");
  kernels_in_use = kernels;
}

ProductKernels products_in_use() { return kernels_in_use; }

bool bf16_products_are_fast(Device device) { return device == Device::cuda || cpu_has_bf16_products(); }

double measure_matmul_flops(DType dtype, double seconds, Device device) {
  const int64_t side = device == Device::cuda ? 8192 : 1024;
  const Buffer a(dtype, {side, side}, device), b(dtype, {side, side}, device), c(DType::f32, {side, side}, device);
  fill_randomly(a.tensor(), 1), fill_randomly(b.tensor(), 2);
  double fastest = 1e30;
  int products = 0;  // a few at least: on a busy machine one product alone may take all of the time
  for (const double end = monotonic_s() + seconds; products < 20 || monotonic_s() < end; ++products) {
    const double start = monotonic_s();
    matmul(as_matrix(c.tensor()), as_matrix(a.tensor()), as_matrix(b.tensor()));
    synchronize(device);
    fastest = std::min(fastest, monotonic_s() - start);
  }
  const auto extent = static_cast<double>(side);
  return 2.0 * extent * extent * extent / fastest;
}

}  // namespace starling

#include "ops/matmul.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/threads.h"
#include "core/time.h"
#include "tensor/buffer.h"

namespace starling {
namespace {

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

}  // namespace

ConstMatrix as_matrix(const ConstTensor& tensor) {
  if (tensor.shape().rank() != 2)
    throw ShapeError(fmt::format("a matrix has two extents, not {}", tensor.shape().to_string()));
  return {tensor.data(), tensor.dtype(), tensor.extent(0), tensor.extent(1), tensor.extent(1), 1};
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
  constexpr int64_t kGrain = 32;  // below this a second thread costs more than it saves
  if (c.rows >= c.columns) {
    parallel_for(c.rows, kGrain, [&](int64_t begin, int64_t end) {
      matmul_serial(block(c, begin, end - begin, 0, c.columns), block(a, begin, end - begin, 0, a.columns), b,
                    accumulate);
    });
  } else {
    parallel_for(c.columns, kGrain, [&](int64_t begin, int64_t end) {
      matmul_serial(block(c, 0, c.rows, begin, end - begin), a, block(b, 0, b.rows, begin, end - begin), accumulate);
    });
  }
}

double measure_matmul_flops(DType dtype, double seconds) {
  constexpr int64_t kSide = 1024;
  const Buffer a(dtype, {kSide, kSide}), b(dtype, {kSide, kSide}), c(DType::f32, {kSide, kSide});
  double fastest = 1e30;
  int products = 0;  // a few at least: on a busy machine one product alone may take all of the time
  for (const double end = monotonic_s() + seconds; products < 20 || monotonic_s() < end; ++products) {
    const double start = monotonic_s();
    matmul(as_matrix(c.tensor()), as_matrix(a.tensor()), as_matrix(b.tensor()));
    fastest = std::min(fastest, monotonic_s() - start);
  }
  return 2.0 * kSide * kSide * kSide / fastest;
}

}  // namespace starling

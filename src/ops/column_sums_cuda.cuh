// Sums over the rows of a matrix, one for each column, in an order that depends on the matrix alone.
#pragma once

#include "ops/launch_cuda.cuh"

namespace starling::cuda {

constexpr int kColumns = 128;
constexpr int64_t kMostParts = 128;

// A block sums value(n, c) over one part of the rows, for kColumns columns.
template <class Value>
__global__ void column_parts(float* parts, int64_t rows, int64_t columns, int64_t rows_of_part, Value value) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  if (c >= columns) return;
  const int64_t first = blockIdx.y * rows_of_part, last = min(rows, first + rows_of_part);
  float sum = 0;
  for (int64_t n = first; n < last; ++n) sum += value(n, c);
  parts[blockIdx.y * columns + c] = sum;
}

static __global__ void add_parts(float* result, const float* parts, int64_t columns, int64_t count) {
  const int64_t c = static_cast<int64_t>(blockIdx.x) * kColumns + threadIdx.x;
  if (c >= columns) return;
  float sum = 0;
  for (int64_t part = 0; part < count; ++part) sum += parts[part * columns + c];
  result[c] += sum;
}

// result[c] += sum_n value(n, c); `value` is a struct with a __device__ operator().
template <class Value>
void add_column_sums(float* result, int64_t rows, int64_t columns, const Value& value) {
  if (rows == 0 || columns == 0) return;
  const int64_t rows_of_part = (rows + kMostParts - 1) / kMostParts;
  const dim3 grid(blocks_for(columns, kColumns), blocks_for(rows, rows_of_part));
  auto* parts = static_cast<float*>(scratch(static_cast<size_t>(grid.y * columns) * sizeof(float)));
  column_parts<<<grid, kColumns>>>(parts, rows, columns, rows_of_part, value);
  add_parts<<<grid.x, kColumns>>>(result, parts, columns, grid.y);
  launched("sums of columns");
}

}  // namespace starling::cuda

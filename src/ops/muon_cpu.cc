#include <algorithm>
#include <cmath>
#include <vector>

#include "core/threads.h"
#include "ops/kernels.h"
#include "ops/muon_polynomial.h"

namespace starling {
namespace {

constexpr int64_t kBlock = 96;  // rows of a symmetric product that are made at once

template <class T>
Matrix view(std::vector<T>& storage, int64_t rows, int64_t columns) {
  storage.resize(static_cast<size_t>(rows * columns));
  return {ConstMatrix{storage.data(), dtype_of<T>(), rows, columns, columns, 1}};
}

float norm_of(const float* values, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += values[i] * values[i];
  return std::sqrt(sum);
}

// c = a b, where that is symmetric: only the rows' blocks up to the diagonal's. The rest of c is left as it is.
void matmul_lower(Matrix c, ConstMatrix a, ConstMatrix b) {
  for (int64_t first = 0; first < c.rows; first += kBlock) {
    const int64_t rows = std::min(kBlock, c.rows - first), columns = first + rows;
    matmul_serial(block(c, first, rows, 0, columns), block(a, first, rows, 0, a.columns),
                  block(b, 0, b.rows, 0, columns));
  }
}

template <class T>
void mirror_lower(std::vector<T>& x, int64_t side) {
  for (int64_t i = 0; i < side; ++i)
    for (int64_t j = 0; j < i; ++j) x[j * side + i] = x[i * side + j];
}

float trace_of(const std::vector<float>& x, int64_t side) {
  float sum = 0;
  for (int64_t i = 0; i < side; ++i) sum += x[i * side + i];
  return sum;
}

// polynomial = a I + b gram + c gram^2, whose lower triangle is given; the products give f32, the next product wants T.
template <class T>
void fill_polynomial(std::vector<T>& polynomial, const std::vector<T>& gram, const std::vector<float>& square,
                     int64_t side, MuonPolynomial p) {
  for (int64_t i = 0; i < side; ++i) {
    const int64_t row = i * side;
    for (int64_t j = row; j < row + i; ++j) polynomial[j] = from_float<T>(p.b * to_float(gram[j]) + p.c * square[j]);
    polynomial[row + i] = from_float<T>(p.a + p.b * to_float(gram[row + i]) + p.c * square[row + i]);
  }
  mirror_lower(polynomial, side);
}

template <class T>
void iterate(Tensor x) {
  const int64_t rows = x.extent(0), columns = x.extent(1), side = std::min(rows, columns);
  const bool wide = rows <= columns;
  thread_local std::vector<T> current, next, gram, polynomial;
  thread_local std::vector<float> square;
  Matrix from = view(current, rows, columns), to = view(next, rows, columns);
  const Matrix g = view(gram, side, side), p = view(polynomial, side, side), s = view(square, side, side);
  float* values = x.as<float>();
  const float scale = 1.0f / (norm_of(values, rows * columns) + 1e-7f);
  for (int64_t i = 0; i < rows * columns; ++i) current[i] = from_float<T>(values[i] * scale);
  for (const MuonPolynomial& given : kMuonPolynomials) {
    wide ? matmul_lower(g, from, transposed(from)) : matmul_lower(g, transposed(from), from);
    mirror_lower(gram, side);
    matmul_lower(s, g, g);
    const bool first = &given == kMuonPolynomials;
    fill_polynomial(polynomial, gram, square, side, first ? scaled_by_trace(given, trace_of(square, side)) : given);
    wide ? matmul_serial(to, p, from) : matmul_serial(to, from, p);
    std::swap(from, to);
  }
  const T* result = static_cast<const T*>(from.data);
  for (int64_t i = 0; i < rows * columns; ++i) values[i] = to_float(result[i]);
}

void orthogonalise(Tensor x) { bf16_products_are_fast() ? iterate<bf16>(x) : iterate<float>(x); }

void step(const MuonMatrix& matrix, const MuonOptions& o) {
  const int64_t count = matrix.w.elements();
  thread_local std::vector<float> update;
  update.resize(static_cast<size_t>(count));
  float *w = matrix.w.as<float>(), *m = matrix.m.as<float>(), *u = update.data();
  const float* g = matrix.g.as<float>();
  for (int64_t i = 0; i < count; ++i) {
    const float gradient = g[i] * o.gradient_scale;
    m[i] = o.momentum * m[i] + gradient;
    u[i] = gradient + o.momentum * m[i];
  }
  orthogonalise({u, DType::f32, matrix.w.shape()});
  const float factor = 0.2f * std::sqrt(static_cast<float>(std::max(matrix.w.extent(0), matrix.w.extent(1))));
  for (int64_t i = 0; i < count; ++i) w[i] -= o.learning_rate * (factor * u[i] + o.weight_decay * w[i]);
}

}  // namespace

template <>
void Kernels<Device::cpu>::newton_schulz(Tensor x) {
  orthogonalise(x);
}

template <>
void Kernels<Device::cpu>::muon_step(std::span<const MuonMatrix> matrices, const MuonOptions& options) {
  parallel_for(static_cast<int64_t>(matrices.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) step(matrices[static_cast<size_t>(i)], options);
  });
}

}  // namespace starling

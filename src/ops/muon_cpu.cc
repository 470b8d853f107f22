#include <cmath>
#include <vector>

#include "core/threads.h"
#include "ops/kernels.h"
#include "ops/muon_polynomial.h"

namespace starling {
namespace {

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

// polynomial = a I + b gram + c gram^2; the products give f32, the next product wants T.
template <class T>
void fill_polynomial(std::vector<T>& polynomial, const std::vector<T>& gram, const std::vector<float>& square,
                     int64_t side) {
  for (int64_t i = 0; i < side * side; ++i)
    polynomial[i] = from_float<T>(kMuonB * to_float(gram[i]) + kMuonC * square[i]);
  for (int64_t i = 0; i < side; ++i)
    polynomial[i * side + i] =
        from_float<T>(kMuonA + kMuonB * to_float(gram[i * side + i]) + kMuonC * square[i * side + i]);
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
  for (int iteration = 0; iteration < kMuonIterations; ++iteration) {
    wide ? matmul_serial(g, from, transposed(from)) : matmul_serial(g, transposed(from), from);
    matmul_serial(s, g, g);
    fill_polynomial(polynomial, gram, square, side);
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

#include <algorithm>
#include <cmath>

#include "ops/elementwise_cuda.cuh"
#include "ops/kernels.h"
#include "ops/launch_cuda.cuh"
#include "ops/muon_polynomial.h"

namespace starling {
namespace cuda {
namespace {

constexpr int kThreads = 256;

__device__ int64_t element() { return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; }

__global__ void momentum_kernel(float* u, float* m, const float* g, int64_t count, float momentum, float scale) {
  const int64_t i = element();
  if (i >= count) return;
  const float gradient = g[i] * scale;
  m[i] = momentum * m[i] + gradient;
  u[i] = gradient + momentum * m[i];
}

// y = x / |x|
__global__ void normalise_kernel(device_bf16* y, const float* x, const double* square, int64_t count) {
  const int64_t i = element();
  if (i < count) y[i] = narrow<device_bf16>(x[i] / (sqrtf(static_cast<float>(*square)) + 1e-7f));
}

// trace = tr x, by one warp
__global__ void trace_kernel(float* trace, const float* x, int64_t side) {
  float sum = 0;
  for (int64_t i = threadIdx.x; i < side; i += 32) sum += x[i * side + i];
  sum = warp_sum(sum);
  if (threadIdx.x == 0) *trace = sum;
}

// polynomial = a I + b gram + c gram^2, of the scaled matrix where there is a trace
__global__ void polynomial_kernel(device_bf16* polynomial, const device_bf16* gram, const float* square, int64_t side,
                                  MuonPolynomial p, const float* trace) {
  const int64_t i = element();
  if (i >= side * side) return;
  if (trace) p = scaled_by_trace(p, *trace);
  const float diagonal = i / side == i % side ? p.a : 0.0f;
  polynomial[i] = narrow<device_bf16>(diagonal + p.b * wide(gram[i]) + p.c * square[i]);
}

__global__ void widen_kernel(float* y, const device_bf16* x, int64_t count) {
  const int64_t i = element();
  if (i < count) y[i] = wide(x[i]);
}

__global__ void update_kernel(float* w, const float* u, int64_t count, float rate, float factor, float decay) {
  const int64_t i = element();
  if (i < count) w[i] -= rate * (factor * u[i] + decay * w[i]);
}

// Parts of one piece of scratch memory.
class Pieces {
 public:
  explicit Pieces(size_t bytes) : next_(static_cast<std::byte*>(scratch(bytes))) {}
  template <class T>
  T* take(int64_t count) {
    auto* piece = reinterpret_cast<T*>(next_);
    next_ += bytes<T>(count);
    return piece;
  }
  template <class T>
  static size_t bytes(int64_t count) {
    return (static_cast<size_t>(count) * sizeof(T) + 255) / 256 * 256;
  }

 private:
  std::byte* next_;
};

struct Memory {
  float *update, *square, *trace;
  device_bf16 *from, *to, *gram, *polynomial;
  double* sums;
};

Memory memory_for(int64_t rows, int64_t columns) {
  const int64_t count = rows * columns, side = std::min(rows, columns), sums = sum_of_squares_places(count);
  Pieces pieces(Pieces::bytes<float>(count) + Pieces::bytes<float>(side * side) + Pieces::bytes<float>(1) +
                2 * Pieces::bytes<device_bf16>(count) + 2 * Pieces::bytes<device_bf16>(side * side) +
                Pieces::bytes<double>(sums));
  return {pieces.take<float>(count),
          pieces.take<float>(side * side),
          pieces.take<float>(1),
          pieces.take<device_bf16>(count),
          pieces.take<device_bf16>(count),
          pieces.take<device_bf16>(side * side),
          pieces.take<device_bf16>(side * side),
          pieces.take<double>(sums)};
}

Matrix matrix(void* data, DType dtype, int64_t rows, int64_t columns) {
  return {ConstMatrix{data, dtype, rows, columns, columns, 1, Device::cuda}};
}

void orthogonalise(float* x, int64_t rows, int64_t columns, const Memory& memory) {
  const int64_t count = rows * columns, side = std::min(rows, columns);
  const bool across = rows <= columns;
  Matrix from = matrix(memory.from, DType::bf16, rows, columns), to = matrix(memory.to, DType::bf16, rows, columns);
  const Matrix gram = matrix(memory.gram, DType::bf16, side, side),
               p = matrix(memory.polynomial, DType::bf16, side, side),
               square = matrix(memory.square, DType::f32, side, side);
  sum_of_squares(memory.sums, x, count);
  normalise_kernel<<<blocks_for(count, kThreads), kThreads>>>(memory.from, x, memory.sums, count);
  for (const MuonPolynomial& polynomial : kMuonPolynomials) {
    const bool first = &polynomial == kMuonPolynomials;
    across ? matmul(gram, from, transposed(from)) : matmul(gram, transposed(from), from);
    matmul(square, gram, gram);
    if (first) trace_kernel<<<1, 32>>>(memory.trace, memory.square, side);
    polynomial_kernel<<<blocks_for(side * side, kThreads), kThreads>>>(
        memory.polynomial, memory.gram, memory.square, side, polynomial, first ? memory.trace : nullptr);
    across ? matmul(to, p, from) : matmul(to, from, p);
    std::swap(from, to);
  }
  widen_kernel<<<blocks_for(count, kThreads), kThreads>>>(x, static_cast<const device_bf16*>(from.data), count);
  launched("newton_schulz");
}

void step(const MuonMatrix& one, const MuonOptions& o) {
  const int64_t rows = one.w.extent(0), columns = one.w.extent(1), count = rows * columns;
  const Memory memory = memory_for(rows, columns);
  const unsigned blocks = blocks_for(count, kThreads);
  momentum_kernel<<<blocks, kThreads>>>(memory.update, pointer<float>(one.m), pointer<float>(one.g), count, o.momentum,
                                        o.gradient_scale);
  orthogonalise(memory.update, rows, columns, memory);
  const float factor = 0.2f * std::sqrt(static_cast<float>(std::max(rows, columns)));
  update_kernel<<<blocks, kThreads>>>(pointer<float>(one.w), memory.update, count, o.learning_rate, factor,
                                      o.weight_decay);
  launched("muon");
}

}  // namespace
}  // namespace cuda

using namespace cuda;

template <>
void Kernels<Device::cuda>::newton_schulz(Tensor x) {
  orthogonalise(pointer<float>(x), x.extent(0), x.extent(1), memory_for(x.extent(0), x.extent(1)));
}

template <>
void Kernels<Device::cuda>::muon_step(std::span<const MuonMatrix> matrices, const MuonOptions& options) {
  for (const MuonMatrix& matrix : matrices) step(matrix, options);
}

}  // namespace starling

#include "ops/column_sums_cuda.cuh"
#include "ops/kernels.h"
#include "ops/launch_cuda.cuh"

namespace starling {
namespace cuda {
namespace {

constexpr int kRowsOfBlock = 4;  // a warp each

template <class T>
__global__ void forward_kernel(T* __restrict__ y, float* __restrict__ rstd, const float* __restrict__ x,
                               const float* __restrict__ w, int64_t rows, int64_t columns, float eps) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kRowsOfBlock + threadIdx.y;
  if (n >= rows) return;
  x += n * columns, y += n * columns;
  float squares = 0;
  for (int64_t c = threadIdx.x; c < columns; c += kWarp) squares += x[c] * x[c];
  const float scale = rsqrtf(warp_sum(squares) / static_cast<float>(columns) + eps);
  for (int64_t c = threadIdx.x; c < columns; c += kWarp) y[c] = narrow<T>(x[c] * scale * w[c]);
  if (threadIdx.x == 0) rstd[n] = scale;
}

template <class T>
__global__ void backward_kernel(float* __restrict__ dx, const T* __restrict__ dy, const float* __restrict__ x,
                                const float* __restrict__ w, const float* __restrict__ rstd, int64_t rows,
                                int64_t columns) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kRowsOfBlock + threadIdx.y;
  if (n >= rows) return;
  x += n * columns, dx += n * columns, dy += n * columns;
  float dot = 0;
  for (int64_t c = threadIdx.x; c < columns; c += kWarp) dot += wide(dy[c]) * w[c] * x[c];
  const float r = rstd[n], pull = warp_sum(dot) / static_cast<float>(columns) * r * r * r;
  for (int64_t c = threadIdx.x; c < columns; c += kWarp) dx[c] += r * wide(dy[c]) * w[c] - pull * x[c];
}

template <class T>
struct WeightGradient {
  const T* dy;
  const float *x, *rstd;
  int64_t columns;
  __device__ float operator()(int64_t n, int64_t c) const {
    return wide(dy[n * columns + c]) * x[n * columns + c] * rstd[n];
  }
};

}  // namespace
}  // namespace cuda

using namespace cuda;

template <>
void Kernels<Device::cuda>::rmsnorm_forward(Tensor y, Tensor rstd, ConstTensor x, ConstTensor w, float eps) {
  const int64_t N = x.extent(0), C = x.extent(1);
  if (N == 0) return;
  dispatch_float(y.dtype(), "rmsnorm y", [&]<class T>(T) {
    forward_kernel<<<blocks_for(N, kRowsOfBlock), dim3(kWarp, kRowsOfBlock)>>>(
        pointer<T>(y), pointer<float>(rstd), pointer<float>(x), pointer<float>(w), N, C, eps);
  });
  launched("rmsnorm forward");
}

template <>
void Kernels<Device::cuda>::rmsnorm_backward(Tensor dx, Tensor dw, ConstTensor dy, ConstTensor x, ConstTensor w,
                                             ConstTensor rstd) {
  const int64_t N = x.extent(0), C = x.extent(1);
  if (N == 0) return;
  dispatch_float(dy.dtype(), "rmsnorm dy", [&]<class T>(T) {
    backward_kernel<<<blocks_for(N, kRowsOfBlock), dim3(kWarp, kRowsOfBlock)>>>(
        pointer<float>(dx), pointer<T>(dy), pointer<float>(x), pointer<float>(w), pointer<float>(rstd), N, C);
    const WeightGradient<on_device<T>> gradient{pointer<T>(dy), pointer<float>(x), pointer<float>(rstd), C};
    add_column_sums(pointer<float>(dw), N, C, gradient);
  });
  launched("rmsnorm backward");
}

}  // namespace starling

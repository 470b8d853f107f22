#include "ops/column_sums_cuda.cuh"
#include "ops/kernels.h"
#include "ops/launch_cuda.cuh"

namespace starling {
namespace cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void bias_kernel(T* y, const float* bias, int64_t columns) {
  const int64_t c = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x, i = blockIdx.x * columns + c;
  if (c < columns) y[i] = narrow<T>(wide(y[i]) + bias[c]);
}

template <class T>
struct Element {
  const T* values;
  int64_t columns;
  __device__ float operator()(int64_t n, int64_t c) const { return wide(values[n * columns + c]); }
};

}  // namespace
}  // namespace cuda

using namespace cuda;

template <>
void Kernels<Device::cuda>::bias_forward(Tensor y, ConstTensor bias) {
  if (y.elements() == 0) return;
  dispatch_float(y.dtype(), "bias y", [&]<class T>(T) {
    const dim3 grid(static_cast<unsigned>(y.extent(0)), blocks_for(y.extent(1), kThreads));
    bias_kernel<<<grid, kThreads>>>(pointer<T>(y), pointer<float>(bias), y.extent(1));
  });
  launched("bias");
}

template <>
void Kernels<Device::cuda>::bias_backward(Tensor dbias, ConstTensor dy) {
  dispatch_float(dy.dtype(), "bias dy", [&]<class T>(T) {
    const Element<on_device<T>> element{pointer<T>(dy), dy.extent(1)};
    add_column_sums(pointer<float>(dbias), dy.extent(0), dy.extent(1), element);
  });
}

}  // namespace starling

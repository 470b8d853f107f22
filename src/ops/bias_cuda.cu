#include "ops/column_sums_cuda.cuh"
#include "ops/kernels.h"
#include "ops/launch_cuda.cuh"

namespace starling {
namespace cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void bias_kernel(T* y, const float* bias, int64_t count, int64_t columns) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) y[i] = narrow<T>(wide(y[i]) + bias[i % columns]);
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
    bias_kernel<<<blocks_for(y.elements(), kThreads), kThreads>>>(pointer<T>(y), pointer<float>(bias), y.elements(),
                                                                  y.extent(1));
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

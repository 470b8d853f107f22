#include "ops/kernels.h"
#include "ops/launch_cuda.cuh"

namespace starling {
namespace cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void forward_kernel(T* __restrict__ y, const T* __restrict__ gate_up, int64_t count, int64_t F) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const int64_t gate = i + i / F * F;  // row n starts at 2 n F
  const float g = wide(gate_up[gate]);
  y[i] = narrow<T>(g / (1.0f + expf(-g)) * wide(gate_up[gate + F]));
}

template <class T>
__global__ void backward_kernel(T* __restrict__ dgate_up, const T* __restrict__ dy, const T* __restrict__ gate_up,
                                int64_t count, int64_t F) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const int64_t gate = i + i / F * F;
  const float g = wide(gate_up[gate]), up = wide(gate_up[gate + F]), d = wide(dy[i]);
  const float s = 1.0f / (1.0f + expf(-g));
  dgate_up[gate] = narrow<T>(d * up * s * (1.0f + g * (1.0f - s)));
  dgate_up[gate + F] = narrow<T>(d * g * s);
}

}  // namespace
}  // namespace cuda

using namespace cuda;

template <>
void Kernels<Device::cuda>::swiglu_forward(Tensor y, ConstTensor gate_up) {
  if (y.elements() == 0) return;
  dispatch_float(y.dtype(), "swiglu y", [&]<class T>(T) {
    forward_kernel<<<blocks_for(y.elements(), kThreads), kThreads>>>(pointer<T>(y), pointer<T>(gate_up), y.elements(),
                                                                     y.extent(1));
  });
  launched("swiglu forward");
}

template <>
void Kernels<Device::cuda>::swiglu_backward(Tensor dgate_up, ConstTensor dy, ConstTensor gate_up) {
  if (dy.elements() == 0) return;
  dispatch_float(dy.dtype(), "swiglu dy", [&]<class T>(T) {
    backward_kernel<<<blocks_for(dy.elements(), kThreads), kThreads>>>(
        pointer<T>(dgate_up), pointer<T>(dy), pointer<T>(gate_up), dy.elements(), dy.extent(1));
  });
  launched("swiglu backward");
}

}  // namespace starling

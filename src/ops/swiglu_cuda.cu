#include "ops/kernels.h"
#include "ops/launch_cuda.cuh"

namespace starling {
namespace cuda {
namespace {

constexpr int kThreads = 256;

// Grid: rows, pieces of a row. The column of a thread.
__device__ int64_t column() { return static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x; }
dim3 grid_of(int64_t rows, int64_t columns) { return dim3(static_cast<unsigned>(rows), blocks_for(columns, kThreads)); }

template <class T>
__global__ void forward_kernel(T* __restrict__ y, const T* __restrict__ gate_up, int64_t F) {
  const int64_t n = blockIdx.x, f = column();
  if (f >= F) return;
  const T* gate = gate_up + n * 2 * F + f;
  const float g = wide(gate[0]);
  y[n * F + f] = narrow<T>(g / (1.0f + expf(-g)) * wide(gate[F]));
}

template <class T>
__global__ void backward_kernel(T* __restrict__ dgate_up, const T* __restrict__ dy, const T* __restrict__ gate_up,
                                int64_t F) {
  const int64_t n = blockIdx.x, f = column(), gate = n * 2 * F + f;
  if (f >= F) return;
  const float g = wide(gate_up[gate]), up = wide(gate_up[gate + F]), d = wide(dy[n * F + f]);
  const float s = 1.0f / (1.0f + expf(-g));
  dgate_up[gate] = narrow<T>(d * up * s * (1.0f + g * (1.0f - s)));
  dgate_up[gate + F] = narrow<T>(d * g * s);
}

}  // namespace
}  // namespace cuda

using namespace cuda;

template <>
void Kernels<Device::cuda>::swiglu_forward(Tensor y, ConstTensor gate_up, Gate) {
  if (y.elements() == 0) return;
  dispatch_float(y.dtype(), "swiglu y", [&]<class T>(T) {
    forward_kernel<<<grid_of(y.extent(0), y.extent(1)), kThreads>>>(pointer<T>(y), pointer<T>(gate_up), y.extent(1));
  });
  launched("swiglu forward");
}

template <>
void Kernels<Device::cuda>::swiglu_backward(Tensor dgate_up, ConstTensor dy, ConstTensor gate_up, Gate) {
  if (dy.elements() == 0) return;
  dispatch_float(dy.dtype(), "swiglu dy", [&]<class T>(T) {
    backward_kernel<<<grid_of(dy.extent(0), dy.extent(1)), kThreads>>>(pointer<T>(dgate_up), pointer<T>(dy),
                                                                       pointer<T>(gate_up), dy.extent(1));
  });
  launched("swiglu backward");
}

}  // namespace starling

#include "ops/kernels.h"
#include "ops/launch_cuda.cuh"

namespace starling {
namespace cuda {
namespace {

constexpr int kThreads = 256;

// A thread turns one pair.
template <class T>
__global__ void rope_kernel(T* x, const float* __restrict__ table, const int32_t* __restrict__ positions, int64_t rows,
                            int64_t stride, int64_t heads, int64_t half, int64_t table_rows, float sign, Fault* fault) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t i = at % half, h = at / half % heads, n = at / (half * heads);
  if (n >= rows) return;
  const int32_t position = positions[n];
  if (position < 0 || position >= table_rows) {
    *fault = Fault::position;
    return;
  }
  const float* angles = table + position * 2 * half;
  T* head = x + n * stride + h * 2 * half;
  const float first = wide(head[i]), second = wide(head[half + i]), cosine = angles[i], sine = sign * angles[half + i];
  head[i] = narrow<T>(first * cosine - second * sine);
  head[half + i] = narrow<T>(second * cosine + first * sine);
}

}  // namespace
}  // namespace cuda

using namespace cuda;

template <>
void Kernels<Device::cuda>::rope(Tensor x, ConstTensor table, ConstTensor positions, int64_t heads, float sign) {
  const int64_t N = x.extent(0), half = table.extent(1) / 2;
  if (N * heads * half == 0) return;
  dispatch_float(x.dtype(), "rope x", [&]<class T>(T) {
    rope_kernel<<<blocks_for(N * heads * half, kThreads), kThreads>>>(
        pointer<T>(x), pointer<float>(table), pointer<int32_t>(positions), N, x.extent(1), heads, half, table.extent(0),
        sign, fault_place());
  });
  launched("rope");
}

}  // namespace starling

#include "ops/kernels.h"
#include "ops/launch_cuda.cuh"

namespace starling {
namespace cuda {
namespace {

constexpr int kThreads = 256;

// A block turns one row.
template <class T>
__global__ void rope_kernel(T* x, const float* __restrict__ table, const int32_t* __restrict__ positions,
                            int64_t stride, int heads, int half, int64_t table_rows, float sign, Fault* fault) {
  const int64_t n = blockIdx.x;
  const int32_t position = positions[n];
  if (position < 0 || position >= table_rows) {
    if (threadIdx.x == 0) *fault = Fault::position;
    return;
  }
  const float* angles = table + static_cast<int64_t>(position) * 2 * half;
  for (int pair = static_cast<int>(threadIdx.x); pair < heads * half; pair += kThreads) {
    const int i = pair % half;
    T* head = x + n * stride + pair / half * 2 * half;
    const float first = wide(head[i]), second = wide(head[half + i]);
    const float cosine = angles[i], sine = sign * angles[half + i];
    head[i] = narrow<T>(first * cosine - second * sine);
    head[half + i] = narrow<T>(second * cosine + first * sine);
  }
}

}  // namespace
}  // namespace cuda

using namespace cuda;

template <>
void Kernels<Device::cuda>::rope(Tensor x, ConstTensor table, ConstTensor positions, int64_t heads, float sign) {
  const auto turned = static_cast<int>(heads), half = static_cast<int>(table.extent(1) / 2);
  if (x.extent(0) == 0) return;
  dispatch_float(x.dtype(), "rope x", [&]<class T>(T) {
    rope_kernel<<<static_cast<unsigned>(x.extent(0)), kThreads>>>(pointer<T>(x), pointer<float>(table),
                                                                  pointer<int32_t>(positions), x.extent(1), turned,
                                                                  half, table.extent(0), sign, fault_place());
  });
  launched("rope");
}

}  // namespace starling

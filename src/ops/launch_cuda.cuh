// What the *_cuda.cu files share: launches, the numbers' types, sums inside a block.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "tensor/runtime_cuda.h"
#include "tensor/tensor.h"

namespace starling::cuda {

using device_bf16 = __nv_bfloat16;

// bf16 is on the device what the vendor's type is: the same sixteen bits.
template <class T>
struct OnDevice {
  using type = T;
};
template <>
struct OnDevice<bf16> {
  using type = device_bf16;
};
template <class T>
using on_device = typename OnDevice<T>::type;

template <class T>
on_device<T>* pointer(const Tensor& tensor) {
  return static_cast<on_device<T>*>(tensor.address());
}
template <class T>
const on_device<T>* pointer(const ConstTensor& tensor) {
  return static_cast<const on_device<T>*>(tensor.address());
}

__device__ inline float wide(float x) { return x; }
__device__ inline float wide(device_bf16 x) { return __bfloat162float(x); }
template <class T>
__device__ T narrow(float x) {
  if constexpr (sizeof(T) == 2) return __float2bfloat16_rn(x);
  else return x;
}

constexpr int kWarp = 32;

inline unsigned blocks_for(int64_t work, int64_t of_each) {
  return static_cast<unsigned>((work + of_each - 1) / of_each);
}

// After every launch: what the launch itself did wrong. What the kernel does wrong is found when the host waits.
inline void launched(const char* kernel) { check(cudaGetLastError(), kernel); }

// Sums and maxima take the same order every time, so that a run repeats bit by bit.
__device__ inline float warp_sum(float x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}
__device__ inline float warp_max(float x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, offset));
  return x;
}

// Memory for what one operator hands from one of its kernels to the next; valid until the thread's next call.
void* scratch(size_t bytes);

}  // namespace starling::cuda

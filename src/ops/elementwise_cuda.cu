#include "ops/elementwise_cuda.cuh"
#include "ops/kernels.h"
#include "ops/launch_cuda.cuh"

namespace starling {
namespace cuda {
namespace {

constexpr int kThreads = 256;

template <class To, class From>
__global__ void convert_kernel(To* __restrict__ y, const From* __restrict__ x, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) y[i] = narrow<To>(wide(x[i]));
}

__global__ void add_kernel(float* __restrict__ y, const float* __restrict__ x, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) y[i] += x[i];
}

__global__ void scale_kernel(float* x, float factor, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < count) x[i] *= factor;
}

// Each block sums one range, the last kernel the ranges' sums: neither depends on the GPU.
constexpr int64_t kRange = 16384;

__device__ double block_sum(double x) {
  __shared__ double sums[kThreads];
  sums[threadIdx.x] = x;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  return sums[0];
}

__global__ void squares_of_ranges(double* sums, const float* x, int64_t count) {
  const int64_t first = blockIdx.x * kRange, last = min(count, first + kRange);
  double sum = 0;
  for (int64_t i = first + threadIdx.x; i < last; i += kThreads) {
    const double value = static_cast<double>(x[i]);
    sum += value * value;
  }
  const double total = block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

__global__ void sum_of_ranges(double* total, const double* sums, int64_t count) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) sum += sums[i];
  const double all = block_sum(sum);
  if (threadIdx.x == 0) *total = all;
}

}  // namespace

int64_t sum_of_squares_places(int64_t count) { return 1 + (count + kRange - 1) / kRange; }

void sum_of_squares(double* sums, const float* x, int64_t count) {
  const unsigned ranges = blocks_for(count, kRange);
  squares_of_ranges<<<ranges, kThreads>>>(sums + 1, x, count);
  sum_of_ranges<<<1, kThreads>>>(sums, sums + 1, ranges);
  launched("sum of squares");
}

}  // namespace cuda

using namespace cuda;

template <>
void Kernels<Device::cuda>::convert(Tensor y, ConstTensor x) {
  const int64_t count = x.elements();
  if (count == 0) return;
  dispatch_float(y.dtype(), "convert y", [&]<class To>(To) {
    dispatch_float(x.dtype(), "convert x", [&]<class From>(From) {
      convert_kernel<<<blocks_for(count, kThreads), kThreads>>>(pointer<To>(y), pointer<From>(x), count);
    });
  });
  launched("convert");
}

template <>
void Kernels<Device::cuda>::add(Tensor y, ConstTensor x) {
  if (x.elements() == 0) return;
  add_kernel<<<blocks_for(x.elements(), kThreads), kThreads>>>(pointer<float>(y), pointer<float>(x), x.elements());
  launched("add");
}

template <>
void Kernels<Device::cuda>::scale(Tensor x, float factor) {
  if (x.elements() == 0) return;
  scale_kernel<<<blocks_for(x.elements(), kThreads), kThreads>>>(pointer<float>(x), factor, x.elements());
  launched("scale");
}

template <>
double Kernels<Device::cuda>::sum_of_squares(ConstTensor x) {
  if (x.elements() == 0) return 0;
  auto* sums = static_cast<double*>(scratch(static_cast<size_t>(sum_of_squares_places(x.elements())) * sizeof(double)));
  cuda::sum_of_squares(sums, pointer<float>(x), x.elements());
  double total = 0;
  check(cudaMemcpy(&total, sums, sizeof total, cudaMemcpyDeviceToHost), "reading a sum of squares");
  return total;
}

}  // namespace starling

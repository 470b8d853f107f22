#include <cub/device/device_radix_sort.cuh>

#include "ops/kernels.h"
#include "ops/launch_cuda.cuh"

namespace starling {
namespace cuda {
namespace {

constexpr int kThreads = 128;

// A block copies one row.
__global__ void gather_kernel(float* y, const int32_t* tokens, const float* table, int64_t V, int64_t C, Fault* fault) {
  const int32_t token = tokens[blockIdx.x];
  if (token < 0 || token >= V) {
    if (threadIdx.x == 0) *fault = Fault::token;
    return;
  }
  for (int64_t c = threadIdx.x; c < C; c += kThreads)
    y[static_cast<int64_t>(blockIdx.x) * C + c] = table[token * C + c];
}

__global__ void number_places(int32_t* places, int64_t N) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (n < N) places[n] = static_cast<int32_t>(n);
}

// tokens are sorted, and their places with them, equal ones in the order of the places. The block of a token's first
// occurrence adds the rows of all: no two blocks write to one row, and the order of a sum is that of the places.
__global__ void scatter_kernel(float* dtable, const int32_t* tokens, const int32_t* places, const float* dy, int64_t N,
                               int64_t V, int64_t C, Fault* fault) {
  const int64_t first = blockIdx.x;
  const int32_t token = tokens[first];
  if (first > 0 && tokens[first - 1] == token) return;
  if (token < 0 || token >= V) {
    if (threadIdx.x == 0) *fault = Fault::token;
    return;
  }
  int64_t last = first + 1;
  while (last < N && tokens[last] == token) ++last;
  for (int64_t c = threadIdx.x; c < C; c += kThreads) {
    float sum = 0;
#pragma unroll 4
    for (int64_t i = first; i < last; ++i) sum += dy[places[i] * C + c];
    dtable[token * C + c] += sum;
  }
}

}  // namespace
}  // namespace cuda

using namespace cuda;

template <>
void Kernels<Device::cuda>::embedding_forward(Tensor y, ConstTensor tokens, ConstTensor table) {
  if (tokens.extent(0) == 0) return;
  gather_kernel<<<static_cast<unsigned>(tokens.extent(0)), kThreads>>>(pointer<float>(y), pointer<int32_t>(tokens),
                                                                       pointer<float>(table), table.extent(0),
                                                                       table.extent(1), fault_place());
  launched("embedding forward");
}

template <>
void Kernels<Device::cuda>::embedding_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy) {
  const int64_t N = tokens.extent(0);
  if (N == 0) return;
  size_t sort_bytes = 0;
  int32_t* none = nullptr;
  check(cub::DeviceRadixSort::SortPairs(nullptr, sort_bytes, none, none, none, none, N), "sizing the sort of tokens");
  auto* places = static_cast<int32_t*>(scratch(static_cast<size_t>(3 * N) * sizeof(int32_t) + 256 + sort_bytes));
  int32_t *sorted_tokens = places + N, *sorted_places = sorted_tokens + N;
  const auto after = reinterpret_cast<uintptr_t>(sorted_places + N);
  auto* sort_memory = reinterpret_cast<void*>((after + 255) / 256 * 256);
  number_places<<<blocks_for(N, kThreads), kThreads>>>(places, N);
  check(cub::DeviceRadixSort::SortPairs(sort_memory, sort_bytes, pointer<int32_t>(tokens), sorted_tokens, places,
                                        sorted_places, N),
        "sorting tokens");
  scatter_kernel<<<static_cast<unsigned>(N), kThreads>>>(pointer<float>(dtable), sorted_tokens, sorted_places,
                                                         pointer<float>(dy), N, dtable.extent(0), dtable.extent(1),
                                                         fault_place());
  launched("embedding backward");
}

}  // namespace starling

#include "ops/kernels.h"
#include "ops/launch_cuda.cuh"

namespace starling {
namespace cuda {
namespace {

constexpr int kThreads = 512;

struct Softmax {
  float largest, sum;
};

// The largest logit and the sum of e^(logit - largest) of a part; joined in a fixed order.
__device__ Softmax joined(Softmax a, Softmax b) {
  const float largest = fmaxf(a.largest, b.largest);
  if (largest == -INFINITY) return {largest, 0};
  return {largest, a.sum * expf(a.largest - largest) + b.sum * expf(b.largest - largest)};
}

__device__ Softmax block_softmax(const float* logits, int64_t V) {
  Softmax mine{-INFINITY, 0};
  for (int64_t v = threadIdx.x; v < V; v += kThreads) {
    const float logit = logits[v];
    if (logit > mine.largest) mine = {logit, mine.sum * __expf(mine.largest - logit) + 1.0f};
    else mine.sum += __expf(logit - mine.largest);
  }
  __shared__ Softmax parts[kThreads];
  parts[threadIdx.x] = mine;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) parts[threadIdx.x] = joined(parts[threadIdx.x], parts[threadIdx.x + half]);
    __syncthreads();
  }
  return parts[0];
}

struct Rows {
  const float* logits;
  int64_t stride, columns;
  const int32_t* targets;
};

// A block does one row. Without gradients (nullptr) only the loss.
template <class T>
__global__ void cross_entropy_kernel(float* nats, T* gradients, int64_t gradient_stride, Rows rows,
                                     CrossEntropyLoss loss, Fault* fault) {
  const int64_t n = blockIdx.x;
  const float* logits = rows.logits + n * rows.stride;
  const int32_t target = rows.targets[n];
  const Softmax softmax = block_softmax(logits, rows.columns);
  const float log_normaliser = softmax.largest + logf(softmax.sum);
  const bool beyond = target >= rows.columns;
  if (threadIdx.x == 0) {
    nats[n] = target < 0 || beyond ? 0.0f : log_normaliser - logits[target];
    if (beyond) *fault = Fault::target;
  }
  if (gradients == nullptr) return;
  const float factor = target < 0 ? 0.0f : loss.scale * (1.0f + 2.0f * loss.z_loss * log_normaliser) / softmax.sum;
  T* gradient = gradients + n * gradient_stride;
  for (int64_t v = threadIdx.x; v < rows.columns; v += kThreads)
    gradient[v] = narrow<T>(__expf(logits[v] - softmax.largest) * factor - (v == target ? loss.scale : 0.0f));
}

Rows rows_of(const Matrix& logits, const ConstTensor& targets) {
  return {static_cast<const float*>(logits.data), logits.row_stride, logits.columns, pointer<int32_t>(targets)};
}

}  // namespace
}  // namespace cuda

using namespace cuda;

template <>
void Kernels<Device::cuda>::cross_entropy_forward(Tensor nats, Matrix logits, ConstTensor targets) {
  cross_entropy_kernel<float><<<static_cast<unsigned>(logits.rows), kThreads>>>(
      pointer<float>(nats), nullptr, 0, rows_of(logits, targets), {}, fault_place());
  launched("cross entropy");
}

template <>
void Kernels<Device::cuda>::cross_entropy_train(Tensor nats, Matrix gradients, Matrix logits, ConstTensor targets,
                                                const CrossEntropyLoss& loss) {
  dispatch_float(gradients.dtype, "cross entropy hidden", [&]<class T>(T) {
    auto* gradient = static_cast<on_device<T>*>(const_cast<void*>(gradients.data));
    cross_entropy_kernel<<<static_cast<unsigned>(logits.rows), kThreads>>>(
        pointer<float>(nats), gradient, gradients.row_stride, rows_of(logits, targets), loss, fault_place());
  });
  launched("cross entropy");
}

}  // namespace starling

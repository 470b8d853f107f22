#include <cmath>

#include "ops/kernels.h"
#include "ops/launch_cuda.cuh"

namespace starling {
namespace cuda {
namespace {

constexpr int kThreads = 256;

__global__ void adamw_kernel(float* __restrict__ w, float* __restrict__ m, float* __restrict__ v,
                             const float* __restrict__ g, int64_t count, float unbias1, float unbias2, AdamWOptions o) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const float gradient = g[i] * o.gradient_scale;
  const float first = o.beta1 * m[i] + (1.0f - o.beta1) * gradient;
  const float second = o.beta2 * v[i] + (1.0f - o.beta2) * gradient * gradient;
  m[i] = first;
  v[i] = second;
  const float update = first * unbias1 / (sqrtf(second * unbias2) + o.epsilon);
  w[i] -= o.learning_rate * (update + o.weight_decay * w[i]);
}

}  // namespace
}  // namespace cuda

using namespace cuda;

template <>
void Kernels<Device::cuda>::adamw_step(Tensor w, Tensor m, Tensor v, ConstTensor g, const AdamWOptions& o) {
  if (w.elements() == 0) return;
  const float unbias1 = 1.0f / (1.0f - std::pow(o.beta1, static_cast<float>(o.step)));
  const float unbias2 = 1.0f / (1.0f - std::pow(o.beta2, static_cast<float>(o.step)));
  adamw_kernel<<<blocks_for(w.elements(), kThreads), kThreads>>>(
      pointer<float>(w), pointer<float>(m), pointer<float>(v), pointer<float>(g), w.elements(), unbias1, unbias2, o);
  launched("adamw");
}

}  // namespace starling

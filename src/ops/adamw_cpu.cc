#include <cmath>

#include "core/threads.h"
#include "ops/kernels.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

struct Moments {
  float *weights, *first, *second;
  const float* gradients;
};

// `o` by value: a reference might be to memory that the loop writes, and then it could not be vectorised.
STARLING_INLINE inline void step_range(const Moments& memory, int64_t begin, int64_t end, AdamWOptions o) {
  float* __restrict weights = memory.weights, * __restrict first = memory.first, * __restrict second = memory.second;
  const float* __restrict gradients = memory.gradients;
  const float unbias1 = 1.0f / (1.0f - std::pow(o.beta1, static_cast<float>(o.step)));
  const float unbias2 = 1.0f / (1.0f - std::pow(o.beta2, static_cast<float>(o.step)));
  for (int64_t i = begin; i < end; ++i) {
    const float gradient = gradients[i] * o.gradient_scale;
    first[i] = o.beta1 * first[i] + (1.0f - o.beta1) * gradient;
    second[i] = o.beta2 * second[i] + (1.0f - o.beta2) * gradient * gradient;
    const float update = first[i] * unbias1 / (std::sqrt(second[i] * unbias2) + o.epsilon);
    weights[i] -= o.learning_rate * (update + o.weight_decay * weights[i]);
  }
}

}  // namespace

template <>
void Kernels<Device::cpu>::adamw_step(Tensor w, Tensor m, Tensor v, ConstTensor g, const AdamWOptions& o) {
  const Moments memory = {w.as<float>(), m.as<float>(), v.as<float>(), g.as<float>()};
  parallel_for(w.elements(), 16384, [&](int64_t begin, int64_t end) {
    with_widest_vectors([&]() STARLING_INLINE { step_range(memory, begin, end, o); });
  });
}

}  // namespace starling

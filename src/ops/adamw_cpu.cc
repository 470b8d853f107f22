#include <cmath>

#include "core/threads.h"
#include "ops/adamw.h"

namespace starling {

void adamw_step(Tensor w, Tensor m, Tensor v, ConstTensor g, const AdamWOptions& o) {
  for (const ConstTensor& tensor : {ConstTensor(m), ConstTensor(v), g})
    require_shape(tensor, DType::f32, w.shape(), "adamw");
  float* weights = w.as<float>();
  float* first = m.as<float>();
  float* second = v.as<float>();
  const float* gradients = g.as<float>();
  const float unbias1 = 1.0f / (1.0f - std::pow(o.beta1, static_cast<float>(o.step)));
  const float unbias2 = 1.0f / (1.0f - std::pow(o.beta2, static_cast<float>(o.step)));
  parallel_for(w.elements(), 16384, [&, o](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float gradient = gradients[i] * o.gradient_scale;
      first[i] = o.beta1 * first[i] + (1.0f - o.beta1) * gradient;
      second[i] = o.beta2 * second[i] + (1.0f - o.beta2) * gradient * gradient;
      const float update = first[i] * unbias1 / (std::sqrt(second[i] * unbias2) + o.epsilon);
      weights[i] -= o.learning_rate * (update + o.weight_decay * weights[i]);
    }
  });
}

}  // namespace starling

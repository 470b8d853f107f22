#include "ops/adamw.h"

#include "ops/kernels.h"
#include "ops/profile.h"

namespace starling {

void adamw_step(Tensor w, Tensor m, Tensor v, ConstTensor g, const AdamWOptions& o) {
  const ProfiledOperator timed("adamw", 15.0 * static_cast<double>(w.elements()),
                               static_cast<double>(2 * (w.bytes() + m.bytes() + v.bytes()) + g.bytes()));
  for (const ConstTensor& tensor : {ConstTensor(w), ConstTensor(m), ConstTensor(v), g})
    require_shape(tensor, DType::f32, w.shape(), "adamw");
  with_kernels(common_device("adamw", {w, m, v, g}), [&](auto kernels) { kernels.adamw_step(w, m, v, g, o); });
}

}  // namespace starling

#include "ops/swiglu.h"

#include "core/error.h"
#include "ops/kernels.h"
#include "ops/profile.h"

namespace starling {
namespace {

Device device_for(Gate gate, std::initializer_list<ConstTensor> tensors) {
  const Device device = common_device("swiglu", tensors);
  if (gate == Gate::gelu && device != Device::cpu) throw ConfigError("gelu gates are on the CPU alone");
  return device;
}

}  // namespace

void swiglu_forward(Tensor y, ConstTensor gate_up, Gate gate) {
  const ProfiledOperator timed("swiglu forward", 16.0 * static_cast<double>(y.elements()),
                               static_cast<double>(y.bytes() + gate_up.bytes()));
  require_shape(gate_up, y.dtype(), {y.extent(0), 2 * y.extent(1)}, "swiglu gate_up");
  with_kernels(device_for(gate, {y, gate_up}), [&](auto kernels) { kernels.swiglu_forward(y, gate_up, gate); });
}

void swiglu_backward(Tensor dgate_up, ConstTensor dy, ConstTensor gate_up, Gate gate) {
  const ProfiledOperator timed("swiglu backward", 24.0 * static_cast<double>(dy.elements()),
                               static_cast<double>(dgate_up.bytes() + dy.bytes() + gate_up.bytes()));
  const Shape wide = {dy.extent(0), 2 * dy.extent(1)};
  require_shape(gate_up, dy.dtype(), wide, "swiglu gate_up");
  require_shape(dgate_up, dy.dtype(), wide, "swiglu dgate_up");
  with_kernels(device_for(gate, {dgate_up, dy, gate_up}),
               [&](auto kernels) { kernels.swiglu_backward(dgate_up, dy, gate_up, gate); });
}

}  // namespace starling

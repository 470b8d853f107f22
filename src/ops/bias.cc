#include "ops/bias.h"

#include "ops/kernels.h"
#include "ops/profile.h"

namespace starling {
namespace {

void check(const ConstTensor& y, const ConstTensor& bias) {
  require_shape(y, y.dtype(), {y.extent(0), y.extent(1)}, "bias y");
  require_shape(bias, DType::f32, {y.extent(1)}, "bias");
}

}  // namespace

void bias_forward(Tensor y, ConstTensor bias) {
  check(y, bias);
  const ProfiledOperator timed("bias forward", static_cast<double>(y.elements()), static_cast<double>(2 * y.bytes()));
  with_kernels(common_device("bias", {y, bias}), [&](auto kernels) { kernels.bias_forward(y, bias); });
}

void bias_backward(Tensor dbias, ConstTensor dy) {
  check(dy, dbias);
  const ProfiledOperator timed("bias backward", static_cast<double>(dy.elements()), static_cast<double>(dy.bytes()));
  with_kernels(common_device("bias", {dbias, dy}), [&](auto kernels) { kernels.bias_backward(dbias, dy); });
}

}  // namespace starling

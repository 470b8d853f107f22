#include "ops/rmsnorm.h"

#include "ops/kernels.h"
#include "ops/profile.h"

namespace starling {
namespace {

void check(const ConstTensor& y, const ConstTensor& rstd, const ConstTensor& x, const ConstTensor& w) {
  const Shape shape = {x.extent(0), x.extent(1)};
  require_shape(x, DType::f32, shape, "rmsnorm x");
  require_shape(y, y.dtype(), shape, "rmsnorm y");
  require_shape(rstd, DType::f32, {shape[0]}, "rmsnorm rstd");
  require_shape(w, DType::f32, {shape[1]}, "rmsnorm w");
}

}  // namespace

void rmsnorm_forward(Tensor y, Tensor rstd, ConstTensor x, ConstTensor w, float eps) {
  check(y, rstd, x, w);
  const ProfiledOperator timed("rmsnorm forward", 4.0 * static_cast<double>(x.elements()),
                               static_cast<double>(y.bytes() + x.bytes()));
  with_kernels(common_device("rmsnorm", {y, rstd, x, w}),
               [&](auto kernels) { kernels.rmsnorm_forward(y, rstd, x, w, eps); });
}

void rmsnorm_backward(Tensor dx, Tensor dw, ConstTensor dy, ConstTensor x, ConstTensor w, ConstTensor rstd) {
  check(dy, rstd, x, w);
  const ProfiledOperator timed("rmsnorm backward", 12.0 * static_cast<double>(x.elements()),
                               static_cast<double>(dx.bytes() + dx.bytes() + dy.bytes() + x.bytes()));
  require_shape(dx, DType::f32, x.shape(), "rmsnorm dx");
  require_shape(dw, DType::f32, w.shape(), "rmsnorm dw");
  with_kernels(common_device("rmsnorm", {dx, dw, dy, x, w, rstd}),
               [&](auto kernels) { kernels.rmsnorm_backward(dx, dw, dy, x, w, rstd); });
}

}  // namespace starling

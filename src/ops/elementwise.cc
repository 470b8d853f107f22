#include "ops/elementwise.h"

#include "core/error.h"
#include "ops/kernels.h"
#include "ops/profile.h"

namespace starling {

void convert(Tensor y, ConstTensor x) {
  const ProfiledOperator timed("convert", 0, static_cast<double>(y.bytes() + x.bytes()));
  if (y.elements() != x.elements()) throw ShapeError("convert: the tensors have different sizes");
  with_kernels(common_device("convert", {y, x}), [&](auto kernels) { kernels.convert(y, x); });
}

void add(Tensor y, ConstTensor x) {
  const ProfiledOperator timed("add", static_cast<double>(y.elements()),
                               static_cast<double>(2 * y.bytes() + x.bytes()));
  require_shape(y, DType::f32, x.shape(), "add y");
  require_shape(x, DType::f32, x.shape(), "add x");
  with_kernels(common_device("add", {y, x}), [&](auto kernels) { kernels.add(y, x); });
}

void scale(Tensor x, float factor) {
  require_shape(x, DType::f32, x.shape(), "scale");
  with_kernels(x.device(), [&](auto kernels) { kernels.scale(x, factor); });
}

double sum_of_squares(ConstTensor x) {
  const ProfiledOperator timed("sum of squares", 2.0 * static_cast<double>(x.elements()),
                               static_cast<double>(x.bytes()));
  require_shape(x, DType::f32, x.shape(), "sum of squares");
  return with_kernels(x.device(), [&](auto kernels) { return kernels.sum_of_squares(x); });
}

}  // namespace starling

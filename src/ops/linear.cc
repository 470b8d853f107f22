#include "ops/linear.h"

#include <cmath>

#include "ops/profile.h"
namespace starling {
namespace {

// The three products of a layer: 2 N O I operations each, where each tensor holds one of the three pairs of extents.
ProfiledOperator profiled(const char* name, const ConstTensor& result, const ConstTensor& a, const ConstTensor& b) {
  const double elements =
      static_cast<double>(result.elements()) * static_cast<double>(a.elements()) * static_cast<double>(b.elements());
  return {name, 2.0 * std::sqrt(elements), static_cast<double>(result.bytes() + a.bytes() + b.bytes())};
}

}  // namespace

void linear_forward(Tensor y, ConstTensor x, ConstTensor w, Accumulate accumulate) {
  const ProfiledOperator timed = profiled("linear forward", y, x, w);
  matmul(as_matrix(y), as_matrix(x), transposed(as_matrix(w)), accumulate);
}

void linear_backward_input(Tensor dx, ConstTensor dy, ConstTensor w) {
  const ProfiledOperator timed = profiled("linear backward input", dx, dy, w);
  matmul(as_matrix(dx), as_matrix(dy), as_matrix(w));
}

void linear_backward_weight(Tensor dw, ConstTensor dy, ConstTensor x) {
  const ProfiledOperator timed = profiled("linear backward weight", dw, dy, x);
  matmul(as_matrix(dw), transposed(as_matrix(dy)), as_matrix(x), Accumulate::yes);
}

}  // namespace starling

#include "ops/linear.h"

#include "ops/profile.h"

namespace starling {
namespace {

double bytes(const ConstMatrix& m) { return static_cast<double>(m.rows * m.columns * size_of(m.dtype)); }

// The three products of a layer.
void product(const char* name, const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate) {
  const double flops = 2.0 * static_cast<double>(c.rows) * static_cast<double>(c.columns) * static_cast<double>(b.rows);
  const ProfiledOperator timed(name, flops, bytes(c) + bytes(a) + bytes(b));
  matmul(c, a, b, accumulate);
}

}  // namespace

void linear_forward(Matrix y, ConstMatrix x, ConstMatrix w, Accumulate accumulate) {
  product("linear forward", y, x, transposed(w), accumulate);
}

void linear_backward_input(Matrix dx, ConstMatrix dy, ConstMatrix w) {
  product("linear backward input", dx, dy, w, Accumulate::no);
}

void linear_backward_weight(Matrix dw, ConstMatrix dy, ConstMatrix x) {
  product("linear backward weight", dw, transposed(dy), x, Accumulate::yes);
}

void linear_forward(Tensor y, ConstTensor x, ConstTensor w, Accumulate accumulate) {
  linear_forward(as_matrix(y), as_matrix(x), as_matrix(w), accumulate);
}

void linear_backward_input(Tensor dx, ConstTensor dy, ConstTensor w) {
  linear_backward_input(as_matrix(dx), as_matrix(dy), as_matrix(w));
}

void linear_backward_weight(Tensor dw, ConstTensor dy, ConstTensor x) {
  if (!dw.empty()) linear_backward_weight(as_matrix(dw), as_matrix(dy), as_matrix(x));
}

}  // namespace starling

#include "ops/linear.h"

namespace starling {

void linear_forward(Tensor y, ConstTensor x, ConstTensor w, Accumulate accumulate) {
  matmul(as_matrix(y), as_matrix(x), transposed(as_matrix(w)), accumulate);
}

void linear_backward_input(Tensor dx, ConstTensor dy, ConstTensor w) {
  matmul(as_matrix(dx), as_matrix(dy), as_matrix(w));
}

void linear_backward_weight(Tensor dw, ConstTensor dy, ConstTensor x) {
  matmul(as_matrix(dw), transposed(as_matrix(dy)), as_matrix(x), Accumulate::yes);
}

}  // namespace starling

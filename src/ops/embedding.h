// y[n] = table[tokens[n]]
//   tokens [N] i32 in [0, V);  table [V,C] f32;  y [N,C] f32. Throws DataError for a token outside the table.
#pragma once

#include "tensor/tensor.h"

namespace starling {

void embedding_forward(Tensor y, ConstTensor tokens, ConstTensor table);
// dtable[tokens[n]] += dy[n], in the order of n whatever the number of threads.
void embedding_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy);

}  // namespace starling

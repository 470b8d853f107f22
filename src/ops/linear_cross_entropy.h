// The output head and its loss in one operator, a chunk of tokens at a time, so that the [N,V] logits are never whole.
//   logits[n,v] = sum_c hidden[n,c] weight[v,c],   nats[n] = log sum_v e^logits[n,v] - logits[n,target[n]]
// A row with target < 0 has no loss and no gradient.
//   hidden [N,C] and weight [V,C]: both f32 or both bf16;  targets [N] i32 below V;  nats [N] f32. Throws ShapeError,
//   DataError.
#pragma once

#include <cstdint>

#include "ops/matmul.h"
#include "tensor/buffer.h"
#include "tensor/tensor.h"

namespace starling {

// Memory for one chunk: logits in f32 and their gradient in the type of the operands. On the CPU a row's gradients take
// the place of its logits; a GPU's threads go through a row in no order, so there they have their own. Rows start at a
// multiple of 64 elements: products read rows that start anywhere more slowly.
class LogitChunk {
 public:
  // tokens: at most so many rows, and what keeps the device busy and the memory small.
  LogitChunk(int64_t vocab_size, DType operands, int64_t tokens, Device device = Device::cpu);
  static int64_t bytes(int64_t vocab_size, DType operands, int64_t tokens, Device device = Device::cpu);
  int64_t tokens() const { return logits_.tensor().extent(0); }
  Matrix logits(int64_t rows) const { return block(as_matrix(logits_.tensor()), 0, rows, 0, vocab_size_); }
  Matrix gradients(int64_t rows) const;

 private:
  int64_t vocab_size_;
  DType operands_;
  Buffer logits_, gradients_;  // the latter on a GPU alone
};

void linear_cross_entropy_forward(Tensor nats, ConstTensor hidden, ConstTensor weight, ConstTensor targets,
                                  const LogitChunk& chunk);

// Forward and backward together, for loss = scale * sum_n (nats[n] + z_loss * (log sum_v e^logits[n,v])^2): dhidden is
// assigned, dweight (f32) accumulates; an empty dweight is left out (a head that is not trained). nats are without the
// z term, which keeps the logits near 0. Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5.
struct CrossEntropyLoss {
  float scale = 1.0f;
  float z_loss = 0.0f;
};
void linear_cross_entropy_train(Tensor nats, Tensor dhidden, Tensor dweight, ConstTensor hidden, ConstTensor weight,
                                ConstTensor targets, const CrossEntropyLoss& loss, const LogitChunk& chunk);

}  // namespace starling

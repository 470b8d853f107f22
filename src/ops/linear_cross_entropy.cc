#include "ops/linear_cross_entropy.h"

#include <algorithm>

#include "ops/kernels.h"
#include "ops/linear.h"
#include "ops/profile.h"

namespace starling {
namespace {

constexpr int64_t kRowMultiple = 64;

// 512 rows of some thousand logits stay in a CPU's cache; a GPU is busy with thousands of rows.
int64_t chunk_rows(int64_t tokens, Device device) {
  return std::min<int64_t>(tokens, device == Device::cuda ? 4096 : 512);
}

// Rows are padded: were they a multiple of 2 KB apart, a column of them would fall into few sets of the cache, and the
// product that reads columns would take more than twice as long.
Shape chunk_shape(int64_t vocab_size, int64_t tokens, Device device) {
  const int64_t stride = (vocab_size + kRowMultiple - 1) / kRowMultiple * kRowMultiple;
  return {chunk_rows(tokens, device), stride % 512 == 0 ? stride + kRowMultiple : stride};
}

void check(const ConstTensor& nats, const ConstTensor& hidden, const ConstTensor& weight, const ConstTensor& targets) {
  const int64_t N = hidden.extent(0);
  require_shape(weight, hidden.dtype(), {weight.extent(0), hidden.extent(1)}, "cross entropy weight");
  require_shape(targets, DType::i32, {N}, "cross entropy targets");
  require_shape(nats, DType::f32, {N}, "cross entropy nats");
}

// Calls f(first, rows, logits) for each chunk's rows.
template <class F>
void for_each_chunk(ConstTensor hidden, ConstTensor weight, const LogitChunk& chunk, F&& f) {
  const int64_t N = hidden.extent(0);
  for (int64_t first = 0; first < N; first += chunk.tokens()) {
    const int64_t rows = std::min(chunk.tokens(), N - first);
    const Matrix logits = chunk.logits(rows);
    linear_forward(logits, as_matrix(hidden.rows(first, rows)), as_matrix(weight));
    f(first, rows, logits);
  }
}

}  // namespace

LogitChunk::LogitChunk(int64_t vocab_size, DType operands, int64_t tokens, Device device)
    : vocab_size_(vocab_size),
      operands_(operands),
      logits_(DType::f32, chunk_shape(vocab_size, tokens, device), device) {
  if (device != Device::cpu) gradients_ = Buffer(operands, logits_.tensor().shape(), device);
}

int64_t LogitChunk::bytes(int64_t vocab_size, DType operands, int64_t tokens, Device device) {
  return chunk_shape(vocab_size, tokens, device).elements() *
         (size_of(DType::f32) + (device == Device::cpu ? 0 : size_of(operands)));
}

Matrix LogitChunk::gradients(int64_t rows) const {
  if (const Tensor own = gradients_.tensor(); !own.empty()) return block(as_matrix(own), 0, rows, 0, vocab_size_);
  Matrix gradients = logits(rows);
  gradients.dtype = operands_, gradients.row_stride *= size_of(DType::f32) / size_of(operands_);
  return gradients;
}

void linear_cross_entropy_forward(Tensor nats, ConstTensor hidden, ConstTensor weight, ConstTensor targets,
                                  const LogitChunk& chunk) {
  check(nats, hidden, weight, targets);
  with_kernels(common_device("cross entropy", {nats, hidden, weight, targets}), [&](auto kernels) {
    for_each_chunk(hidden, weight, chunk, [&](int64_t first, int64_t rows, const Matrix& logits) {
      kernels.cross_entropy_forward(nats.rows(first, rows), logits, targets.rows(first, rows));
    });
  });
}

void linear_cross_entropy_train(Tensor nats, Tensor dhidden, Tensor dweight, ConstTensor hidden, ConstTensor weight,
                                ConstTensor targets, const CrossEntropyLoss& loss, const LogitChunk& chunk) {
  check(nats, hidden, weight, targets);
  const double logits = static_cast<double>(hidden.extent(0)) * static_cast<double>(weight.extent(0));
  const ProfiledOperator timed("cross entropy", 20.0 * logits,
                               logits * static_cast<double>(sizeof(float) + size_of(hidden.dtype())));
  with_kernels(common_device("cross entropy", {nats, dhidden, dweight, hidden, weight, targets}), [&](auto kernels) {
    for_each_chunk(hidden, weight, chunk, [&](int64_t first, int64_t rows, const Matrix& chunk_logits) {
      const Matrix gradients = chunk.gradients(rows);
      const ConstTensor part = hidden.rows(first, rows);
      kernels.cross_entropy_train(nats.rows(first, rows), gradients, chunk_logits, targets.rows(first, rows), loss);
      linear_backward_input(as_matrix(dhidden.rows(first, rows)), gradients, as_matrix(weight));
      if (!dweight.empty()) linear_backward_weight(as_matrix(dweight), gradients, as_matrix(part));
    });
  });
}

}  // namespace starling

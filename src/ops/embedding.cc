#include "ops/embedding.h"

#include "ops/kernels.h"
#include "ops/profile.h"

namespace starling {
namespace {

void check(const ConstTensor& y, const ConstTensor& tokens, const ConstTensor& table) {
  require_shape(table, DType::f32, {table.extent(0), table.extent(1)}, "embedding table");
  require_shape(tokens, DType::i32, {tokens.extent(0)}, "embedding tokens");
  require_shape(y, DType::f32, {tokens.extent(0), table.extent(1)}, "embedding y");
}

}  // namespace

void embedding_forward(Tensor y, ConstTensor tokens, ConstTensor table) {
  const ProfiledOperator timed("embedding forward", 0, static_cast<double>(y.bytes() + y.bytes()));
  check(y, tokens, table);
  with_kernels(common_device("embedding", {y, tokens, table}),
               [&](auto kernels) { kernels.embedding_forward(y, tokens, table); });
}

void embedding_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy) {
  const ProfiledOperator timed("embedding backward", 1.0 * static_cast<double>(dy.elements()),
                               static_cast<double>(dy.bytes() + dy.bytes() + dy.bytes()));
  check(dy, tokens, dtable);
  with_kernels(common_device("embedding", {dtable, tokens, dy}),
               [&](auto kernels) { kernels.embedding_backward(dtable, tokens, dy); });
}

}  // namespace starling

#include <fmt/format.h>

#include <cstring>

#include "core/error.h"
#include "core/threads.h"
#include "ops/embedding.h"
#include "ops/profile.h"

namespace starling {
namespace {

void check(const ConstTensor& y, const ConstTensor& tokens, const ConstTensor& table) {
  require_shape(table, DType::f32, {table.extent(0), table.extent(1)}, "embedding table");
  require_shape(tokens, DType::i32, {tokens.extent(0)}, "embedding tokens");
  require_shape(y, DType::f32, {tokens.extent(0), table.extent(1)}, "embedding y");
  for (int64_t n = 0; n < tokens.extent(0); ++n)
    if (const int32_t token = tokens.as<int32_t>()[n]; token < 0 || token >= table.extent(0))
      throw DataError(fmt::format(
          "token {} at place {} is outside the vocabulary of {}; the shards or the prompt belong to another "
          "tokenizer",
          token, n, table.extent(0)));
}

}  // namespace

void embedding_forward(Tensor y, ConstTensor tokens, ConstTensor table) {
  const ProfiledOperator timed("embedding forward", 0, static_cast<double>(y.bytes() + y.bytes()));
  check(y, tokens, table);
  const int64_t C = table.extent(1);
  for (int64_t n = 0; n < tokens.extent(0); ++n)
    std::memcpy(y.as<float>() + n * C, table.as<float>() + tokens.as<int32_t>()[n] * C,
                static_cast<size_t>(C) * sizeof(float));
}

void embedding_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy) {
  const ProfiledOperator timed("embedding backward", 1.0 * static_cast<double>(dy.elements()),
                               static_cast<double>(dy.bytes() + dy.bytes() + dy.bytes()));
  check(dy, tokens, dtable);
  const int64_t C = dtable.extent(1);
  parallel_for(C, 64, [&](int64_t begin, int64_t end) {  // by columns: two threads never add to the same element
    for (int64_t n = 0; n < tokens.extent(0); ++n) {
      float* row = dtable.as<float>() + tokens.as<int32_t>()[n] * C;
      const float* gradient = dy.as<float>() + n * C;
      for (int64_t c = begin; c < end; ++c) row[c] += gradient[c];
    }
  });
}

}  // namespace starling

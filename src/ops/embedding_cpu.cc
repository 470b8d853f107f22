#include <fmt/format.h>

#include <cstring>

#include "core/error.h"
#include "core/threads.h"
#include "ops/kernels.h"

namespace starling {
namespace {

void check_range(const ConstTensor& tokens, const ConstTensor& table) {
  for (int64_t n = 0; n < tokens.extent(0); ++n)
    if (const int32_t token = tokens.as<int32_t>()[n]; token < 0 || token >= table.extent(0))
      throw DataError(fmt::format(
          "token {} at place {} is outside the vocabulary of {}; the shards or the prompt belong to another "
          "tokenizer",
          token, n, table.extent(0)));
}

}  // namespace

template <>
void Kernels<Device::cpu>::embedding_forward(Tensor y, ConstTensor tokens, ConstTensor table) {
  check_range(tokens, table);
  const int64_t C = table.extent(1);
  for (int64_t n = 0; n < tokens.extent(0); ++n)
    std::memcpy(y.as<float>() + n * C, table.as<float>() + tokens.as<int32_t>()[n] * C,
                static_cast<size_t>(C) * sizeof(float));
}

template <>
void Kernels<Device::cpu>::embedding_backward(Tensor dtable, ConstTensor tokens, ConstTensor dy) {
  check_range(tokens, dtable);
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

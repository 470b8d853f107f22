#include "tensor/buffer.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace starling {

Buffer::Buffer(DType dtype, Shape shape) : dtype_(dtype), shape_(shape) {
  constexpr size_t kAlignment = 64;  // a cache line, and the widest vector register
  const size_t bytes = static_cast<size_t>(shape.elements() * size_of(dtype));
  const size_t rounded = (bytes + kAlignment) / kAlignment * kAlignment;
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded)));
  if (!data_) throw std::bad_alloc();
  std::memset(data_.get(), 0, rounded);
}

void Buffer::Free::operator()(std::byte* data) const { std::free(data); }

Tensor Arena::allocate(DType dtype, Shape shape) {
  buffers_.emplace_back(dtype, shape);
  bytes_ += buffers_.back().tensor().bytes();
  return buffers_.back().tensor();
}

}  // namespace starling

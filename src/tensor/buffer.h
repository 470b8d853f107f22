// Memory of tensors. Operators never allocate what they return: it comes from a Buffer (one tensor) or an Arena (many).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace starling {

// Zeroed memory aligned to 64 bytes, freed with the owner.
class Buffer {
 public:
  Buffer() = default;
  Buffer(DType dtype, Shape shape);
  Tensor tensor() const { return {data_.get(), dtype_, shape_}; }

 private:
  struct Free {
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  DType dtype_ = DType::f32;
  Shape shape_;
};

// Owns the tensors it hands out; all are freed with it.
class Arena {
 public:
  Tensor allocate(DType dtype, Shape shape);
  int64_t bytes() const { return bytes_; }

 private:
  std::vector<Buffer> buffers_;
  int64_t bytes_ = 0;
};

}  // namespace starling

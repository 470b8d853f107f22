// Memory of tensors. Operators never allocate what they return: it comes from a Buffer (one tensor) or an Arena (many).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace starling {

// Zeroed memory of a device, aligned to 64 bytes at least, freed with the owner. Throws std::bad_alloc or DeviceError.
class Buffer {
 public:
  Buffer() = default;
  Buffer(DType dtype, Shape shape, Device device = Device::cpu);
  Tensor tensor() const { return {data_.get(), dtype_, shape_, data_.get_deleter().device}; }

 private:
  struct Free {
    Device device;
    void operator()(std::byte* data) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  DType dtype_ = DType::f32;
  Shape shape_;
};

// Owns the tensors it hands out; all are freed with it.
class Arena {
 public:
  explicit Arena(Device device = Device::cpu) : device_(device) {}
  Tensor allocate(DType dtype, Shape shape);
  int64_t bytes() const { return bytes_; }

 private:
  Device device_;
  std::vector<Buffer> buffers_;
  int64_t bytes_ = 0;
};

// A tensor's numbers where the host can read them: its own memory, or a copy of what was on another device then.
class HostCopy {
 public:
  explicit HostCopy(ConstTensor source);
  const ConstTensor& tensor() const { return tensor_; }

 private:
  Buffer copy_;
  ConstTensor tensor_;
};

// Memory where the host writes what a tensor shall hold: its own, or memory that store() copies to its device.
class HostDraft {
 public:
  explicit HostDraft(Tensor target);
  const Tensor& tensor() const { return tensor_; }  // zeros, or what the target held on the host
  void store() const;

 private:
  Tensor target_, tensor_;
  Buffer draft_;
};

}  // namespace starling

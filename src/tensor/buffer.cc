#include "tensor/buffer.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "tensor/device.h"
#include "tensor/memory_cuda.h"

namespace starling {

Buffer::Buffer(DType dtype, Shape shape, Device device) : data_(nullptr, Free{device}), dtype_(dtype), shape_(shape) {
  constexpr size_t kAlignment = 64;  // a cache line, and the widest vector register
  const size_t bytes = static_cast<size_t>(shape.elements() * size_of(dtype));
  const size_t rounded = (bytes + kAlignment) / kAlignment * kAlignment;
  if (device == Device::cuda) {
    data_.reset(static_cast<std::byte*>(cuda::allocate_zeros(rounded)));
    return;
  }
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded)));
  if (!data_) throw std::bad_alloc();
  std::memset(data_.get(), 0, rounded);
}

void Buffer::Free::operator()(std::byte* data) const { device == Device::cuda ? cuda::release(data) : std::free(data); }

Tensor Arena::allocate(DType dtype, Shape shape) {
  buffers_.emplace_back(dtype, shape, device_);
  bytes_ += buffers_.back().tensor().bytes();
  return buffers_.back().tensor();
}

HostCopy::HostCopy(ConstTensor source) : tensor_(source) {
  if (source.device() == Device::cpu) return;
  copy_ = Buffer(source.dtype(), source.shape());
  copy(copy_.tensor(), source);
  tensor_ = copy_.tensor();
}

HostDraft::HostDraft(Tensor target) : target_(target), tensor_(target) {
  if (target.device() == Device::cpu) return;
  draft_ = Buffer(target.dtype(), target.shape());
  tensor_ = draft_.tensor();
}

void HostDraft::store() const {
  if (target_.device() != Device::cpu) copy(target_, tensor_);
}

}  // namespace starling

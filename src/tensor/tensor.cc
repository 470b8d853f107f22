#include "tensor/tensor.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstddef>

#include "core/error.h"

namespace starling {

int64_t size_of(DType dtype) { return dtype == DType::bf16 ? 2 : 4; }

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::i32:
      return "i32";
  }
  return "unknown";
}

const char* name_of(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

Shape::Shape(std::initializer_list<int64_t> extents) {
  if (extents.size() > extents_.size())
    throw ShapeError(fmt::format("a shape has at most 4 extents, not {}", extents.size()));
  for (int64_t extent : extents) {
    if (extent < 0)
      throw ShapeError(fmt::format("a shape has no negative extents, as in [{}]", fmt::join(extents, ", ")));
    extents_[rank_++] = extent;
  }
}

int64_t Shape::elements() const {
  int64_t product = 1;
  for (int axis = 0; axis < rank_; ++axis) product *= extents_[axis];
  return product;
}

std::string Shape::to_string() const {
  return fmt::format("[{}]", fmt::join(extents_.begin(), extents_.begin() + rank_, ", "));
}

void ConstTensor::require(DType wanted) const {
  if (dtype_ != wanted)
    throw ShapeError(
        fmt::format("want a tensor of {}, got {} {}", name_of(wanted), name_of(dtype_), shape_.to_string()));
}

void ConstTensor::refuse_host() const {
  throw DeviceError(
      fmt::format("a tensor {} {} on {} is wanted on the CPU: copy it there, or train with --set train.device=cpu "
                  "(what works on it has no CUDA kernel)",
                  name_of(dtype_), shape_.to_string(), name_of(device_)));
}

Shape ConstTensor::rows_shape(int64_t first, int64_t count) const {
  if (shape_.rank() == 0 || first < 0 || count < 0 || first + count > shape_[0])
    throw ShapeError(fmt::format("rows {}..{} are outside {}", first, first + count, shape_.to_string()));
  switch (shape_.rank()) {
    case 1:
      return {count};
    case 2:
      return {count, shape_[1]};
    case 3:
      return {count, shape_[1], shape_[2]};
    default:
      return {count, shape_[1], shape_[2], shape_[3]};
  }
}

ConstTensor ConstTensor::rows(int64_t first, int64_t count) const {
  const Shape shape = rows_shape(first, count);
  const int64_t row_bytes = shape_[0] == 0 ? 0 : bytes() / shape_[0];
  return {static_cast<const std::byte*>(data_) + first * row_bytes, dtype_, shape, device_};
}

ConstTensor ConstTensor::view(Shape shape) const {
  if (shape.elements() > elements())
    throw ShapeError(fmt::format("{} does not hold a view of {}", shape_.to_string(), shape.to_string()));
  return {data_, dtype_, shape, device_};
}

Tensor Tensor::view(Shape shape) const { return {address(), dtype_, ConstTensor::view(shape).shape(), device_}; }

Tensor Tensor::rows(int64_t first, int64_t count) const {
  const ConstTensor view = ConstTensor::rows(first, count);
  return {const_cast<void*>(view.address()), dtype_, view.shape(), device_};
}

void require_shape(const ConstTensor& tensor, DType dtype, const Shape& shape, const char* what) {
  if (tensor.dtype() == dtype && tensor.shape() == shape) return;
  throw ShapeError(fmt::format("{}: want {} {}, got {} {}", what, name_of(dtype), shape.to_string(),
                               name_of(tensor.dtype()), tensor.shape().to_string()));
}

}  // namespace starling

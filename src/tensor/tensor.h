// Views of contiguous row-major memory: a pointer, a type, up to four extents, and the device whose memory it is. A
// view owns nothing and is cheap to copy.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "tensor/bfloat16.h"

namespace starling {

enum class DType { f32, bf16, i32 };

// The memory that a tensor is in; operators run where their tensors are.
enum class Device { cpu, cuda };
const char* name_of(Device device);  // "cuda"

int64_t size_of(DType dtype);      // bytes of one element
const char* name_of(DType dtype);  // "f32"
template <class T>
DType dtype_of();
template <>
inline DType dtype_of<float>() {
  return DType::f32;
}
template <>
inline DType dtype_of<bf16>() {
  return DType::bf16;
}
template <>
inline DType dtype_of<int32_t>() {
  return DType::i32;
}

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> extents);  // throws ShapeError above four extents or below zero
  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return extents_[axis]; }
  int64_t elements() const;
  std::string to_string() const;  // "[4, 320]"
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<int64_t, 4> extents_{};
  int rank_ = 0;
};

class ConstTensor {
 public:
  ConstTensor() = default;
  ConstTensor(const void* data, DType dtype, Shape shape, Device device = Device::cpu)
      : data_(data), dtype_(dtype), device_(device), shape_(shape) {}
  // Memory that the host can read, as for as<T>(): throws DeviceError for a tensor that is on another device.
  const void* data() const {
    if (device_ != Device::cpu) refuse_host();
    return data_;
  }
  const void* address() const { return data_; }  // in the memory of device()
  Device device() const { return device_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t extent(int axis) const { return shape_[axis]; }
  int64_t elements() const { return shape_.elements(); }
  int64_t bytes() const { return elements() * size_of(dtype_); }
  bool empty() const { return data_ == nullptr; }
  template <class T>
  const T* as() const {  // throws ShapeError when the type differs
    require(dtype_of<T>());
    return static_cast<const T*>(data());
  }
  ConstTensor rows(int64_t first, int64_t count) const;  // along the first extent
  ConstTensor view(Shape shape) const;  // the first elements under other extents; throws ShapeError for too many

 protected:
  void require(DType wanted) const;
  [[noreturn]] void refuse_host() const;
  Shape rows_shape(int64_t first, int64_t count) const;
  const void* data_ = nullptr;
  DType dtype_ = DType::f32;
  Device device_ = Device::cpu;
  Shape shape_;
};

class Tensor : public ConstTensor {
 public:
  Tensor() = default;
  Tensor(void* data, DType dtype, Shape shape, Device device = Device::cpu) : ConstTensor(data, dtype, shape, device) {}
  void* data() const { return const_cast<void*>(ConstTensor::data()); }  // built from a writable pointer
  void* address() const { return const_cast<void*>(data_); }
  template <class T>
  T* as() const {
    require(dtype_of<T>());
    return static_cast<T*>(data());
  }
  Tensor rows(int64_t first, int64_t count) const;
  Tensor view(Shape shape) const;
};

// Throws ShapeError "rmsnorm y: want f32 [4, 320], got bf16 [4, 3]".
void require_shape(const ConstTensor& tensor, DType dtype, const Shape& shape, const char* what);

// Calls f(T{}) with T = float or bf16; throws ShapeError for another type.
template <class F>
void dispatch_float(DType dtype, const char* what, F&& f) {
  if (dtype == DType::f32) return f(float{});
  if (dtype == DType::bf16) return f(bf16{});
  require_shape({nullptr, dtype, {}}, DType::f32, {}, what);
}

}  // namespace starling

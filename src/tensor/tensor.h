// Views of contiguous row-major memory: a pointer, a type and up to four extents. A view owns nothing and is cheap to
// copy.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "tensor/bfloat16.h"

namespace starling {

enum class DType { f32, bf16, i32 };

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
  ConstTensor(const void* data, DType dtype, Shape shape) : data_(data), dtype_(dtype), shape_(shape) {}
  const void* data() const { return data_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t extent(int axis) const { return shape_[axis]; }
  int64_t elements() const { return shape_.elements(); }
  int64_t bytes() const { return elements() * size_of(dtype_); }
  bool empty() const { return data_ == nullptr; }
  template <class T>
  const T* as() const {  // throws ShapeError when the type differs
    require(dtype_of<T>());
    return static_cast<const T*>(data_);
  }
  ConstTensor rows(int64_t first, int64_t count) const;  // along the first extent

 protected:
  void require(DType wanted) const;
  Shape rows_shape(int64_t first, int64_t count) const;
  const void* data_ = nullptr;
  DType dtype_ = DType::f32;
  Shape shape_;
};

class Tensor : public ConstTensor {
 public:
  Tensor() = default;
  Tensor(void* data, DType dtype, Shape shape) : ConstTensor(data, dtype, shape) {}
  void* data() const { return const_cast<void*>(data_); }  // built from a writable pointer
  template <class T>
  T* as() const {
    require(dtype_of<T>());
    return static_cast<T*>(data());
  }
  Tensor rows(int64_t first, int64_t count) const;
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

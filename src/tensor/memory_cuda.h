// The GPU's memory, for buffer.cc and device.cc alone. In a build without CUDA all of these throw DeviceError.
#pragma once

#include <cstddef>
#include <string>

#include "tensor/tensor.h"

namespace starling::cuda {

void require_device();  // throws DeviceError where there is no GPU
std::string device_name();
void* allocate_zeros(size_t bytes);
void release(void* memory);  // never throws
void copy(void* to, const void* from, size_t bytes, Device to_device, Device from_device);
void set_zero(void* memory, size_t bytes);
void synchronize();
void wait() noexcept;

}  // namespace starling::cuda

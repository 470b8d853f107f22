// Devices, and copies between their memories. A GPU works through what it is given in order while the host goes on:
// what a kernel finds wrong (a token outside the table) is thrown by the next call here that waits for it.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace starling {

// "cpu" or "cuda". Throws ConfigError for another name, DeviceError where there is no such device or no support for it
// in this build.
Device find_device(const std::string& name);
std::string describe(Device device);  // "2 threads", "NVIDIA H100 80GB HBM3"

// to = from: one type, as many elements, in any two memories. Waits when the host reads or writes. On the CPU by all
// compute threads: not to be called inside of parallel_for. Throws ShapeError, DeviceError, DataError.
void copy(Tensor to, ConstTensor from);
void set_zero(Tensor tensor);

// Waits until the device has done what it was given. Throws DeviceError, DataError.
void synchronize(Device device);
// The same, but leaves what went wrong to the next call.
void wait_for(Device device) noexcept;

}  // namespace starling

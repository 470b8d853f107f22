#include "tensor/device.h"

#include <fmt/format.h>

#include <cstring>

#include "core/error.h"
#include "core/threads.h"
#include "tensor/memory_cuda.h"

namespace starling {

Device find_device(const std::string& name) {
  if (name == "cpu") return Device::cpu;
  if (name != "cuda") throw ConfigError(fmt::format("a device is cpu or cuda, not \"{}\"", name));
  cuda::require_device();
  return Device::cuda;
}

std::string describe(Device device) {
  return device == Device::cuda ? cuda::device_name() : fmt::format("{} threads", compute_threads());
}

void copy(Tensor to, ConstTensor from) {
  if (to.dtype() != from.dtype() || to.elements() != from.elements())
    throw ShapeError(fmt::format("copy: {} {} is not {} {}", name_of(from.dtype()), from.shape().to_string(),
                                 name_of(to.dtype()), to.shape().to_string()));
  const auto bytes = static_cast<size_t>(from.bytes());
  if (to.device() == Device::cpu && from.device() == Device::cpu) std::memcpy(to.data(), from.data(), bytes);
  else cuda::copy(to.address(), from.address(), bytes, to.device(), from.device());
}

void set_zero(Tensor tensor) {
  const auto bytes = static_cast<size_t>(tensor.bytes());
  if (tensor.device() == Device::cuda) cuda::set_zero(tensor.address(), bytes);
  else std::memset(tensor.data(), 0, bytes);
}

void synchronize(Device device) {
  if (device == Device::cuda) cuda::synchronize();
}

void wait_for(Device device) noexcept {
  if (device == Device::cuda) cuda::wait();
}

}  // namespace starling

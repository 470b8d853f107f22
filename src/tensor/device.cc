#include "tensor/device.h"

#include <fmt/format.h>

#include <cstring>

#include "core/error.h"
#include "core/threads.h"
#include "tensor/memory_cuda.h"

namespace starling {
namespace {

// One thread has about half of the memory's bandwidth.
template <class Part>
void for_each_part(int64_t bytes, const Part& part) {
  constexpr int64_t kGrain = 1 << 20;
  parallel_for(bytes, kGrain, [&](int64_t begin, int64_t end) { part(begin, static_cast<size_t>(end - begin)); });
}

}  // namespace

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
  if (to.device() == Device::cpu && from.device() == Device::cpu)
    return for_each_part(from.bytes(), [target = static_cast<std::byte*>(to.data()),
                                        source = static_cast<const std::byte*>(from.data())](int64_t at, size_t bytes) {
      std::memcpy(target + at, source + at, bytes);
    });
  cuda::copy(to.address(), from.address(), static_cast<size_t>(from.bytes()), to.device(), from.device());
}

void set_zero(Tensor tensor) {
  if (tensor.device() == Device::cuda) return cuda::set_zero(tensor.address(), static_cast<size_t>(tensor.bytes()));
  for_each_part(tensor.bytes(), [target = static_cast<std::byte*>(tensor.data())](int64_t at, size_t bytes) {
    std::memset(target + at, 0, bytes);
  });
}

void synchronize(Device device) {
  if (device == Device::cuda) cuda::synchronize();
}

void wait_for(Device device) noexcept {
  if (device == Device::cuda) cuda::wait();
}

}  // namespace starling

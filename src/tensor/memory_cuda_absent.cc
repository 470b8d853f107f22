// In builds without CUDA no tensor is ever on a GPU, because there is no memory for one.
#include "core/error.h"
#include "tensor/memory_cuda.h"

namespace starling::cuda {
namespace {

[[noreturn]] void absent() {
  throw DeviceError("starling was built without CUDA; build it with cmake --preset cuda, or take the device cpu");
}

}  // namespace

void require_device() { absent(); }
std::string device_name() { absent(); }
void* allocate_zeros(size_t) { absent(); }
void release(void*) {}
void copy(void*, const void*, size_t, Device, Device) { absent(); }
void set_zero(void*, size_t) { absent(); }
void synchronize() { absent(); }
void wait() noexcept {}

}  // namespace starling::cuda

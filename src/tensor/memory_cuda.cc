#include "tensor/memory_cuda.h"

#include <fmt/format.h>

#include <utility>

#include "core/error.h"
#include "tensor/runtime_cuda.h"

namespace starling::cuda {
namespace {

void throw_fault(Fault fault) {
  switch (fault) {
    case Fault::none:
      return;
    case Fault::token:
      throw DataError(
          "a token is outside the vocabulary; the shards or the prompt belong to another tokenizer "
          "(the device cpu says which)");
    case Fault::target:
      throw DataError("a target token is outside the vocabulary; the shards belong to another tokenizer");
    case Fault::position:
      throw ShapeError("rope: a position is outside the table");
    case Fault::document_start:
      throw ShapeError("attention: document_starts must grow and not pass their row");
  }
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw DeviceError(fmt::format("{}: {}", what, cudaGetErrorString(status)));
}

Fault* fault_place() {
  static Fault* const place = [] {
    void* memory = nullptr;
    check(cudaHostAlloc(&memory, sizeof(Fault), cudaHostAllocMapped), "allocating host memory that the GPU can write");
    return ::new (memory) Fault(Fault::none);
  }();
  return place;  // one address on host and device, as everywhere with unified addressing
}

void require_device() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0)
    throw DeviceError(fmt::format("no NVIDIA GPU to work on ({}); take the device cpu",
                                  status == cudaSuccess ? "none was found" : cudaGetErrorString(status)));
}

std::string device_name() {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, 0), "asking for the GPU's name");
  return properties.name;
}

void* allocate_zeros(size_t bytes) {
  void* memory = nullptr;
  if (cudaMalloc(&memory, bytes) != cudaSuccess) {
    const char* why = cudaGetErrorString(cudaGetLastError());  // also clears it
    throw DeviceError(
        fmt::format("no {} MiB of GPU memory ({}); take smaller batches or train.recompute", bytes >> 20, why));
  }
  check(cudaMemset(memory, 0, bytes), "clearing GPU memory");
  return memory;
}

void release(void* memory) {
  static_cast<void>(cudaFree(memory));
}  // at exit the driver may be gone before the last owner: no error then

void copy(void* to, const void* from, size_t bytes, Device to_device, Device from_device) {
  if (to_device == Device::cuda && from_device == Device::cuda)
    return check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice), "copying on the GPU");
  check(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), "copying between host and GPU");
  if (to_device == Device::cpu) synchronize();
}

void set_zero(void* memory, size_t bytes) { check(cudaMemsetAsync(memory, 0, bytes), "clearing GPU memory"); }

void wait() noexcept { static_cast<void>(cudaDeviceSynchronize()); }

void synchronize() {
  check(cudaDeviceSynchronize(), "waiting for the GPU");
  throw_fault(std::exchange(*fault_place(), Fault::none));
}

}  // namespace starling::cuda

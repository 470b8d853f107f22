#include "ops/launch_cuda.cuh"
#include "tensor/buffer.h"

namespace starling::cuda {

void* scratch(size_t bytes) {
  thread_local Buffer memory;
  if (memory.tensor().empty() || static_cast<size_t>(memory.tensor().bytes()) < bytes)
    memory = Buffer(DType::f32, {static_cast<int64_t>(bytes / 4 + 1)}, Device::cuda);
  return memory.tensor().address();
}

}  // namespace starling::cuda

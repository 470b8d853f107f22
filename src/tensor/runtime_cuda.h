// What the CUDA files share. All work goes to the default stream, one kernel after the other. Includes the vendor's
// header: for *_cuda.cc and *.cu alone.
#pragma once

#include <cuda_runtime_api.h>

namespace starling::cuda {

void check(cudaError_t status, const char* what);  // throws DeviceError "what: the vendor's message"

// What kernels find wrong with the numbers they are given. They write it to this place, which the host reads after it
// has waited, and go on without touching other memory.
enum class Fault : int { none, token, target, position, document_start };
Fault* fault_place();

}  // namespace starling::cuda

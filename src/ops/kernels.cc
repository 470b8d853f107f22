#include "ops/kernels.h"

#include <fmt/format.h>

#include "core/error.h"

namespace starling {

Device common_device(const char* what, std::initializer_list<ConstTensor> tensors) {
  const Device device = tensors.begin()->device();
  for (const ConstTensor& tensor : tensors)
    if (tensor.device() != device && !tensor.empty())
      throw DeviceError(fmt::format("{}: its tensors are on {} and on {}; copy them to one device", what,
                                    name_of(device), name_of(tensor.device())));
  return device;
}

}  // namespace starling

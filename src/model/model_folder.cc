#include "model/model_folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>

#include "core/error.h"
#include "model/safetensors.h"
#include "ops/elementwise.h"

namespace starling {

void save_parameters(const Parameters& parameters, const std::filesystem::path& path) {
  std::vector<TensorToWrite> tensors;
  for (size_t i = 0; i < parameters.list().size(); ++i) {
    const Parameter& parameter = parameters.list()[i];
    const Tensor value = parameters.value(i);
    tensors.push_back({parameter.name, "F32", parameter.shape, value.data(), static_cast<size_t>(value.bytes())});
  }
  write_safetensors(path, tensors, {{"format", "pt"}});
}

void load_parameters(Parameters& parameters, const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  for (size_t i = 0; i < parameters.list().size(); ++i) {
    const Parameter& wanted = parameters.list()[i];
    const auto found = file.tensors().find(wanted.name);
    if (found == file.tensors().end())
      throw DataError(fmt::format("{}: tensor {} is missing", path.string(), wanted.name));
    const TensorInfo& info = found->second;
    if (info.shape != wanted.shape)
      throw DataError(fmt::format("{}: tensor {} has shape [{}], config.json wants [{}]", path.string(), wanted.name,
                                  fmt::join(info.shape, ", "), fmt::join(wanted.shape, ", ")));
    const Tensor value = parameters.value(i);
    if (info.dtype == "F32") {
      std::memcpy(value.data(), info.bytes.data(), info.bytes.size());
    } else if (info.dtype == "BF16") {
      convert(value, {info.bytes.data(), DType::bf16, value.shape()});
    } else {
      throw DataError(fmt::format("{}: tensor {} is {}; only F32 and BF16 can be trained on", path.string(),
                                  wanted.name, info.dtype));
    }
  }
  parameters.refresh_compute();
}

}  // namespace starling

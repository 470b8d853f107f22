#include "model/model_folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/error.h"
#include "model/safetensors.h"
#include "tensor/buffer.h"

namespace starling {

void save_parameters(const Parameters& parameters, const std::filesystem::path& path) {
  std::vector<HostCopy> weights;
  std::vector<TensorToWrite> tensors;
  for (size_t i = 0; i < parameters.list().size(); ++i) {
    const Parameter& parameter = parameters.list()[i];
    const ConstTensor weight = weights.emplace_back(parameters.weight(i)).tensor();
    tensors.push_back({parameter.name, weight.dtype() == DType::f32 ? "F32" : "BF16", parameter.shape, weight.data(),
                       static_cast<size_t>(weight.bytes())});
  }
  write_safetensors(path, tensors, {{"format", "pt"}});
}

void save_model(const ModelConfig& config, const Parameters& parameters, const std::filesystem::path& folder) {
  bool bf16 = false;
  for (size_t i = 0; i < parameters.list().size(); ++i) bf16 = bf16 || parameters.weight(i).dtype() == DType::bf16;
  config.save(folder / "config.json", bf16 ? "bfloat16" : "float32");
  save_parameters(parameters, folder / "model.safetensors");
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
    if (info.dtype != "F32" && info.dtype != "BF16")
      throw DataError(fmt::format("{}: tensor {} is {}; only F32 and BF16 can be trained on", path.string(),
                                  wanted.name, info.dtype));
    const DType dtype = info.dtype == "F32" ? DType::f32 : DType::bf16;
    parameters.assign(i, {info.bytes.data(), dtype, parameters.weight(i).shape()});
  }
}

}  // namespace starling

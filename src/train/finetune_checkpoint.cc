#include "train/finetune_checkpoint.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "model/safetensors.h"
#include "tensor/device.h"

namespace starling {
namespace {

constexpr const char* kStateFile = "state.safetensors";

std::array<std::pair<const char*, Tensor>, 3> named(const TuningState& state) {
  return {{{"values", state.values}, {"first_moment", state.first_moment}, {"second_moment", state.second_moment}}};
}

}  // namespace

std::filesystem::path tuning_folder(const Workspace& workspace, const std::string& name) {
  return workspace.run(name) / "checkpoints" / "finetune";
}

void save_tuning(const FineTuneCheckpoint& checkpoint, const TuningState& state, int64_t step,
                 const std::string& digest) {
  std::vector<TensorToWrite> tensors;
  for (const auto& [name, tensor] : named(state))
    tensors.push_back({name, "F32", {tensor.elements()}, tensor.data(), static_cast<size_t>(tensor.bytes())});
  write_folder_atomic(checkpoint.folder, [&](const std::filesystem::path& hidden) {
    write_safetensors(hidden / kStateFile, tensors, {{"step", std::to_string(step)}, {"digest", digest}});
    if (checkpoint.add_lineage) checkpoint.add_lineage(hidden);
  });
}

int64_t load_tuning(const FineTuneCheckpoint& checkpoint, const TuningState& state, const std::string& digest) {
  const std::filesystem::path path = checkpoint.folder / kStateFile;
  if (!checkpoint.resume || !std::filesystem::exists(path)) return 0;
  const SafetensorsFile file(path);
  const auto said = [&](const char* name) {
    const auto found = file.metadata().find(name);
    return found == file.metadata().end() ? std::string() : found->second;
  };
  if (said("digest") != digest)
    throw ConfigError(
        fmt::format("{}: this tuning had another base, other records (some may be deleted since) or other options; "
                    "give those, or delete the folder and begin anew without --resume",
                    checkpoint.folder.string()));
  for (const auto& [name, tensor] : named(state)) {
    const TensorInfo& info = file.tensor(name);
    if (info.dtype != "F32" || static_cast<int64_t>(info.bytes.size()) != tensor.bytes())
      throw DataError(fmt::format("{}: {} does not fit this model; delete the folder", path.string(), name));
    copy(tensor, {info.bytes.data(), DType::f32, tensor.shape()});
  }
  const std::string text = said("step");
  int64_t step = -1;
  std::from_chars(text.data(), text.data() + text.size(), step);
  if (step < 0) throw DataError(fmt::format("{}: says no step; delete the folder", path.string()));
  return step;
}

}  // namespace starling

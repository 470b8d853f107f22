// What an interrupted fine-tuning goes on from, in one folder: state.safetensors (the trained values and AdamW's
// moments, F32; in its metadata the steps done and a digest of what the tuning depends on) and what the caller puts
// beside it. The folder is replaced whole: a kill leaves the one before.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/workspace.h"
#include "tensor/tensor.h"
#include "train/finetune.h"

namespace starling {

std::filesystem::path tuning_folder(const Workspace& workspace, const std::string& name);

struct TuningState {
  Tensor values, first_moment, second_moment;  // f32
};

// Throws IoError.
void save_tuning(const FineTuneCheckpoint& checkpoint, const TuningState& state, int64_t step,
                 const std::string& digest);
// Returns the steps done; 0, and reads nothing, where there is no folder or resume is not asked. Throws ConfigError
// for a state of another digest, IoError, DataError.
int64_t load_tuning(const FineTuneCheckpoint& checkpoint, const TuningState& state, const std::string& digest);

}  // namespace starling

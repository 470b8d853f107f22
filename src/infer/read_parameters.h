// The weights of a model folder, in any format that can be imported, as parameters of the training model.
#pragma once

#include <filesystem>

#include "model/config.h"
#include "model/parameters.h"

namespace starling {

// A few rows at a time: parameters in bf16 never lie in memory as f32. Throws IoError, and DataError for a tensor that
// is missing or has another shape.
void read_parameters(Parameters& parameters, const std::filesystem::path& model_folder, const ModelConfig& config);

}  // namespace starling

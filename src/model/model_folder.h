// A model folder as Hugging Face has it: config.json, model.safetensors, tokenizer.json.
#pragma once

#include <filesystem>

#include "model/parameters.h"

namespace starling {

// Writes config.json and model.safetensors into an existing folder: f32, or bf16 what is kept so alone. Throws IoError.
void save_model(const ModelConfig& config, const Parameters& parameters, const std::filesystem::path& folder);
void save_parameters(const Parameters& parameters, const std::filesystem::path& model_safetensors);
// Reads f32 or bf16 tensors of the names and shapes of `parameters`, then refreshes the compute copy. Throws IoError,
// and DataError naming the tensor that is missing or has another shape.
void load_parameters(Parameters& parameters, const std::filesystem::path& model_safetensors);

}  // namespace starling

// Model shapes that the planner knows by name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "model/config.h"

namespace starling {

struct ModelPreset {
  std::string name;    // "70b"
  std::string title;   // "Llama 2 70B"
  ModelConfig config;  // see Workload::model for models without a gated MLP
  bool gated_mlp = true;
  int64_t sequence_tokens = 4096;
  double batch_tokens = 4194304;  // of a step, as published
};

std::span<const ModelPreset> model_presets();
const ModelPreset& find_model_preset(std::string_view name);  // throws ConfigError naming the nearest

}  // namespace starling

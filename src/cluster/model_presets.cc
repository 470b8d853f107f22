#include "cluster/model_presets.h"

#include <fmt/format.h>

#include <vector>

#include "core/config.h"
#include "core/error.h"

namespace starling {
namespace {

ModelConfig shape(int64_t layers, int64_t hidden, int64_t heads, int64_t kv_heads, int64_t width, int64_t vocab) {
  return {.vocab_size = vocab,
          .hidden_size = hidden,
          .intermediate_size = width,
          .num_layers = layers,
          .num_heads = heads,
          .num_kv_heads = kv_heads,
          .max_positions = 4096,
          .tied_head = false};
}

// Eight experts of this shape's width in each block, of which a token passes two.
ModelConfig mixtral(ModelConfig config) {
  config.type = ModelType::mixtral;
  config.num_experts = 8;
  config.experts_per_token = 2;
  return config;
}

ModelConfig grok1(const ModelConfig& shape) {
  ModelConfig config = mixtral(shape);
  config.set_grok1();
  config.tied_head = true;
  return config;
}

// Sources: Touvron et al. 2023, arXiv:2302.13971 and 2307.09288; Roziere et al. 2023, arXiv:2308.12950 (34B);
// Brown et al. 2020, arXiv:2005.14165 (175B; its MLP of width 49152 has two matrices, as large as three of 32768);
// Jiang et al. 2024, arXiv:2401.04088 and the config.json of Mixtral 8x22B; xAI 2024, github.com/xai-org/grok-1 (the
// batch it was trained with is not published: Llama's).
const std::vector<ModelPreset>& presets() {
  static const std::vector<ModelPreset> list = {
      {.name = "7b", .title = "Llama 2 7B", .config = shape(32, 4096, 32, 32, 11008, 32000)},
      {.name = "13b", .title = "Llama 2 13B", .config = shape(40, 5120, 40, 40, 13824, 32000)},
      {.name = "34b", .title = "Llama 2 34B", .config = shape(48, 8192, 64, 8, 22016, 32000)},
      {.name = "70b", .title = "Llama 2 70B", .config = shape(80, 8192, 64, 8, 28672, 32000)},
      {.name = "175b",
       .title = "GPT-3 175B",
       .config = shape(96, 12288, 96, 96, 32768, 51200),
       .gated_mlp = false,
       .sequence_tokens = 2048,
       .batch_tokens = 3145728},
      {.name = "8x7b", .title = "Mixtral 8x7B", .config = mixtral(shape(32, 4096, 32, 8, 14336, 32000))},
      {.name = "8x22b", .title = "Mixtral 8x22B", .config = mixtral(shape(56, 6144, 48, 8, 16384, 32768))},
      {.name = "grok-1",
       .title = "Grok-1 314B",
       .config = grok1(shape(64, 6144, 48, 8, 32768, 131072)),
       .sequence_tokens = 8192},
  };
  return list;
}

}  // namespace

std::span<const ModelPreset> model_presets() { return presets(); }

const ModelPreset& find_model_preset(std::string_view name) {
  std::vector<std::string> names;
  for (const ModelPreset& preset : presets()) {
    if (preset.name == name) return preset;
    names.push_back(preset.name);
  }
  throw ConfigError(fmt::format("no model \"{}\"; did you mean \"{}\"? Known: {}", name, nearest_word(name, names),
                                fmt::join(names, ", ")));
}

}  // namespace starling

// For tests: a small model with random weights in a temporary folder, and a tokenizer trained on a few lines.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/progress.h"
#include "core/random.h"
#include "model/config.h"
#include "model/safetensors.h"
#include "tokenizer/tokenizer.h"

namespace starling {

inline ModelConfig small_config() {
  return {.vocab_size = 300,
          .hidden_size = 64,
          .intermediate_size = 96,
          .num_layers = 2,
          .num_heads = 4,
          .num_kv_heads = 2,
          .max_positions = 160,
          .tied_head = false};
}

// Values that bf16 holds exactly, so that a bf16 engine computes with the same weights as a reference in f32.
inline float random_bf16(uint64_t tensor, uint64_t index, float deviation) {
  const float value = deviation * random_normal(11, tensor, index);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) & 0xffff0000u);
}

class TestModel {
 public:
  explicit TestModel(const ModelConfig& config = small_config())
      : folder_(std::filesystem::temp_directory_path() / fmt::format("starling_infer_{}_{}", getpid(), counter()++)) {
    Progress::set_quiet(true);
    std::filesystem::create_directories(folder_);
    config.save(folder_ / "config.json");
    write_weights(config);
    int line = 0;
    train_byte_level_bpe(
        [&](std::string& text) {
          text = "the quick brown fox jumps over the lazy dog, said the user";
          return line++ < 20;
        },
        290)
        ->save(folder_ / "tokenizer.json");
  }
  ~TestModel() { std::filesystem::remove_all(folder_); }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  static int& counter() {
    static int count = 0;
    return count;
  }
  void write_weights(const ModelConfig& config) {
    std::vector<std::vector<float>> values;
    std::vector<TensorToWrite> tensors;
    const std::vector<ParameterShape> shapes = parameter_shapes(config);
    for (const ParameterShape& parameter : shapes) {
      size_t count = 1;
      for (int64_t size : parameter.shape) count *= static_cast<size_t>(size);
      const bool norm = parameter.shape.size() == 1;
      const float deviation = norm ? 0.1f : 1.5f / std::sqrt(static_cast<float>(parameter.shape[1]));
      std::vector<float>& tensor = values.emplace_back(count);
      for (size_t i = 0; i < count; ++i) tensor[i] = (norm ? 1.0f : 0.0f) + random_bf16(values.size(), i, deviation);
      if (norm)
        for (float& value : tensor) value = std::bit_cast<float>(std::bit_cast<uint32_t>(value) & 0xffff0000u);
      tensors.push_back({parameter.name, "F32", parameter.shape, tensor.data(), count * sizeof(float)});
    }
    write_safetensors(folder_ / "model.safetensors", tensors, {});
  }
  std::filesystem::path folder_;
};

}  // namespace starling

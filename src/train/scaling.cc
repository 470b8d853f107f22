#include "train/scaling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace starling {
namespace {

constexpr int64_t kHeadSize = 64, kLargestMicroBatch = 4096;

int64_t block_parameters(const ModelConfig& model) {
  return model.matrix_parameter_count() - model.vocab_size * model.hidden_size;
}

}  // namespace

ModelConfig model_of_depth(int64_t depth, int64_t vocab_size) {
  if (depth < 1 || depth > 128) throw ConfigError(fmt::format("--depth must be between 1 and 128, not {}", depth));
  ModelConfig model;
  model.vocab_size = vocab_size;
  model.num_layers = depth;
  model.hidden_size = kHeadSize * depth;
  model.num_heads = model.num_kv_heads = depth;
  model.intermediate_size = (model.hidden_size * 8 / 3 + 31) / 32 * 32;
  model.check();
  return model;
}

int64_t compute_optimal_tokens(const ModelConfig& model) { return 20 * model.matrix_parameter_count(); }

ScaledTraining scaled_training(const ModelConfig& model, int64_t tokens, int64_t sequence_length) {
  const auto N = static_cast<double>(block_parameters(model)), D = static_cast<double>(std::max<int64_t>(tokens, 1));
  const double batch = 0.58 * std::pow(D, 0.571);
  const auto wanted =
      std::max<int64_t>(1, static_cast<int64_t>(std::llround(batch / static_cast<double>(sequence_length))));
  const int64_t most = std::max<int64_t>(1, kLargestMicroBatch / sequence_length);
  const int64_t passes = (wanted + most - 1) / most, sequences = (wanted + passes - 1) / passes;
  return {1.79 * std::pow(N, -0.713) * std::pow(D, 0.307), passes * sequences * sequence_length,
          sequences * sequence_length};
}

std::vector<std::string> scaled_settings(const ModelConfig& model, const ScaledTraining& training) {
  return {fmt::format("model.layers={}", model.num_layers),
          fmt::format("model.hidden_size={}", model.hidden_size),
          fmt::format("model.intermediate_size={}", model.intermediate_size),
          fmt::format("model.heads={}", model.num_heads),
          fmt::format("model.kv_heads={}", model.num_kv_heads),
          fmt::format("train.learning_rate={:.6f}", training.learning_rate),
          fmt::format("train.embedding_learning_rate={:.6f}", training.learning_rate),
          fmt::format("train.batch_tokens={}", training.batch_tokens),
          fmt::format("train.micro_batch_tokens={}", training.micro_batch_tokens)};
}

}  // namespace starling

#include "train/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "core/memory_limit.h"
#include "core/random.h"
#include "core/time.h"
#include "model/transformer.h"
#include "tensor/device.h"
#include "train/optimizer.h"

namespace starling {
namespace {

int64_t block_matrix_elements(const ModelConfig& model) {
  return model.matrix_parameter_count() - model.vocab_size * model.hidden_size;
}

struct PlaceBytes {
  int64_t block = 0, shared = 0;  // kept from forward to backward; of the block at work
};

// A mixture keeps of every place what the router said, and of its K rows what a dense model keeps and the output.
PlaceBytes feed_forward_bytes(const ModelConfig& m, int64_t low) {
  const int64_t f32 = 4, C = m.hidden_size, E = m.num_experts, K = m.experts_per_token;
  const int64_t inside = low * 3 * m.intermediate_size;
  if (E == 0) return {inside, inside};
  return {f32 * (E + 3 * K) + K * (inside + low * C), f32 * (E + K + C) + low * E + K * (inside + low * 2 * C)};
}

int64_t activation_bytes(const ModelConfig& m, const TrainOptions& options, int64_t tokens) {
  const int64_t low = size_of(options.compute()), f32 = 4, C = m.hidden_size, Q = m.query_size(), S = m.qkv_size();
  const PlaceBytes feed_forward = feed_forward_bytes(m, low);
  const int64_t x = f32 * C;                                     // a block's input
  const int64_t outputs = m.is_grok1() ? f32 * 2 * (C + 1) : 0;  // before their norms
  const int64_t rest =
      f32 * (C + m.num_heads + 2) + low * (2 * C + Q + S) + outputs + feed_forward.block;  // of a block
  const int64_t kept = options.recompute ? m.num_layers * x + rest : m.num_layers * (x + rest);
  const int64_t grok1_shared = m.is_grok1() ? f32 * C : 0;
  const int64_t shared = f32 * (4 + 2 * C + 2) + low * (4 * C + Q + S) + grok1_shared + feed_forward.shared;
  const int64_t loads = m.num_layers * m.num_experts;
  const int64_t norms = m.is_grok1() ? 2 * C : C;
  return tokens * (kept + shared) + f32 * (m.max_positions * m.head_size() + norms + loads);
}

Batch random_batch(const ModelConfig& model, const TrainOptions& options) {
  Batch batch{options.micro_batch_tokens / options.sequence_length, options.sequence_length, {}, {}, {}, {}};
  for (int64_t i = 0; i < batch.size(); ++i) {
    const auto token =
        static_cast<int32_t>(random_u64(1, 1, static_cast<uint64_t>(i)) % static_cast<uint64_t>(model.vocab_size));
    batch.tokens.push_back(token);
    batch.targets.push_back(token);
    batch.positions.push_back(static_cast<int32_t>(i % batch.length));
    batch.document_starts.push_back(0);
  }
  return batch;
}

}  // namespace

TrainMemory train_memory(const ModelConfig& model, const TrainOptions& options) {
  const int64_t all = model.parameter_count(), f32 = 4, low = size_of(options.compute());
  const int64_t tokens = std::max(options.micro_batch_tokens, model.max_positions);
  TrainMemory memory;
  memory.weights_bytes = memory.gradients_bytes = all * f32;
  memory.compute_copy_bytes = options.compute() == DType::bf16 ? all * low : 0;
  memory.moments_bytes = (2 * all - (options.optimizer == "muon" ? block_matrix_elements(model) : 0)) * f32;
  memory.activations_bytes = activation_bytes(model, options, tokens);
  memory.logits_bytes = LogitChunk::bytes(model.vocab_size, options.compute(), tokens, options.device);
  return memory;
}

MeasuredSteps measure_steps(const ModelConfig& model_config, const TrainOptions& options, int64_t steps) {
  Transformer model(model_config, options.compute(), std::max(options.micro_batch_tokens, model_config.max_positions),
                    {.recompute = options.recompute ? Recompute::blocks : Recompute::none, .device = options.device});
  model.parameters().initialize(1);
  use_products(options.product_kernels());
  Optimizer optimizer(model.parameters(), options.optimizer == "muon");
  const Batch batch = random_batch(model_config, options);
  MeasuredSteps measured;
  for (int64_t step = 0; step <= steps; ++step) {
    if (step == 1) start_profile(options.device);
    const double start = monotonic_s();
    model.parameters().zero_gradients();
    for (int64_t micro = 0; micro < options.accumulation(); ++micro)
      model.train(batch, {.scale = 1.0f / static_cast<float>(options.batch_tokens)});
    optimizer.step({.step = step + 1, .learning_rate = 1e-4f, .embedding_learning_rate = 1e-4f});
    synchronize(options.device);
    if (step > 0) measured.seconds.push_back(monotonic_s() - start);
  }
  measured.operators = stop_profile();
  return measured;
}

TrainEstimate estimate_training(const ModelConfig& model, const TrainOptions& options) {
  TrainEstimate e{.memory = train_memory(model, options), .parameters = model.parameter_count()};
  if (const int64_t limit = memory_limit_bytes(); e.memory.total() > limit)
    throw ConfigError(fmt::format(
        "this run needs {:.1f} GB, of which {:.1f} for activations; it may use {:.1f}: take a smaller model or "
        "train.micro_batch_tokens, or train.recompute=true",
        static_cast<double>(e.memory.total()) / 1e9, static_cast<double>(e.memory.activations_bytes) / 1e9,
        static_cast<double>(limit) / 1e9));
  std::vector<double> seconds = measure_steps(model, options, 3).seconds;
  std::sort(seconds.begin(), seconds.end());
  e.step_s = seconds[1];
  e.tokens_per_s = static_cast<double>(options.batch_tokens) / e.step_s;
  e.steps = options.steps > 0 ? options.steps
                              : std::max<int64_t>(1, static_cast<int64_t>(options.minutes * 60 * 0.9 / e.step_s));
  e.tokens = e.steps * options.batch_tokens;
  e.seconds = static_cast<double>(e.steps) * e.step_s;
  return e;
}

}  // namespace starling

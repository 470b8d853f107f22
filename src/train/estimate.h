// What a training run will need, said before it starts: memory by part, counted from shapes; time, as a whole and by
// operator, from a few steps on random tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "ops/profile.h"
#include "train/options.h"

namespace starling {

struct TrainMemory {
  int64_t weights_bytes = 0, gradients_bytes = 0;  // f32
  int64_t compute_copy_bytes = 0;                  // the weights in bf16
  int64_t moments_bytes = 0;                       // of the optimizer
  int64_t activations_bytes = 0, logits_bytes = 0;
  int64_t total() const {
    return weights_bytes + gradients_bytes + compute_copy_bytes + moments_bytes + activations_bytes + logits_bytes;
  }
};
TrainMemory train_memory(const ModelConfig& model, const TrainOptions& options);

// Optimizer steps on random tokens with the run's model and settings, after one that warms up. Needs the memory of the
// run.
struct MeasuredSteps {
  std::vector<double> seconds;             // of each step
  std::vector<OperatorProfile> operators;  // over all of them; ops/profile.h
};
MeasuredSteps measure_steps(const ModelConfig& model, const TrainOptions& options, int64_t steps);

struct TrainEstimate {
  TrainMemory memory;
  int64_t parameters = 0, steps = 0, tokens = 0;
  double step_s = 0, tokens_per_s = 0, seconds = 0;  // training alone: evaluation and checkpoints come on top
};
// With options.steps = 0, as many steps as nine tenths of options.minutes allow. Throws ConfigError when the run needs
// more memory than it may use (core/memory_limit.h), and says which part is largest.
TrainEstimate estimate_training(const ModelConfig& model, const TrainOptions& options);

}  // namespace starling

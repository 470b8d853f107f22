// The feed-forward of a block (F in model/config.h) for inference: one for all tokens, or a mixture of experts. A
// token's result has the same bits whatever other tokens are there.
#pragma once

#include <cstdint>
#include <vector>

#include "infer/weights.h"
#include "model/config.h"
#include "ops/quantized_product.h"

namespace starling {

// Not thread-safe: the buffers of a pass are kept between calls.
class QuantizedFeedForward {
 public:
  explicit QuantizedFeedForward(const ModelConfig& config) : config_(config) {}

  // y = F(x); x, y [tokens, C], contiguous, apart from each other.
  void run(float* y, const float* x, int64_t tokens, const LayerWeights& w, InstructionSet instructions);

 private:
  void run_mixture(float* y, const float* x, int64_t tokens, const LayerWeights& w, InstructionSet instructions);
  // y [rows, C] of one feed-forward; gate_ and up_ hold what is between.
  void run_one(float* y, const float* x, int64_t rows, const FeedForwardWeights& w, InstructionSet instructions);

  ModelConfig config_;
  std::vector<float> gate_, up_, output_;                // of rows
  std::vector<float> input_;                             // of rows, each expert's side by side: ops/expert_rows.h
  std::vector<float> logits_, probabilities_, weights_;  // of the router
  std::vector<int32_t> chosen_, rows_, load_;
};

}  // namespace starling

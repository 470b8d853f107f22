// One dial, the depth, sets a model's shape and its training by published rules.
//
// Shape: width 64 x depth, heads of 64, feed-forward 8/3 of the width (Llama). Kaplan et al. 2020 (arXiv:2001.08361,
// figure 5) find the loss flat over such ratios of width to depth.
// Learning rate and batch, with N the parameters of the blocks and D the tokens of the run:
//   rate = 1.79 N^-0.713 D^0.307,  batch tokens = 0.58 D^0.571      (Li et al. 2025, "Step Law", arXiv:2503.04715)
// for AdamW; Muon here has updates of AdamW's size and shares the rate (Liu et al. 2025, arXiv:2502.16982).
// Tokens, when neither steps nor minutes are given: 20 a parameter that takes part in products (Hoffmann et al. 2022,
// arXiv:2203.15556).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"

namespace starling {

ModelConfig model_of_depth(int64_t depth, int64_t vocab_size);  // throws ConfigError outside 1..128
int64_t compute_optimal_tokens(const ModelConfig& model);

struct ScaledTraining {
  double learning_rate = 0;
  int64_t batch_tokens = 0, micro_batch_tokens = 0;  // whole sequences; a micro batch has at most 4096 tokens
};
ScaledTraining scaled_training(const ModelConfig& model, int64_t tokens, int64_t sequence_length);

// The same as assignments "section.key=value" for the configuration.
std::vector<std::string> scaled_settings(const ModelConfig& model, const ScaledTraining& training);

}  // namespace starling

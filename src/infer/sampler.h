// The next token from logits. In this order: temperature, min-p, top-k, top-p; then one draw.
//   p_i = exp(logit_i / temperature) / sum;  min-p keeps p_i >= min_p * max p (Nguyen et al. 2024, arXiv:2407.01082);
//   top-k keeps the k largest;  top-p keeps the fewest largest whose sum reaches top_p (Holtzman et al. 2020,
//   arXiv:1904.09751).
// Equal probabilities rank by id, so the same logits, options and index give the same token on any machine.
#pragma once

#include <cstdint>
#include <span>

#include "infer/engine.h"

namespace starling {

// Throws ConfigError that names the option that is out of range.
void check_sampling(const SamplingOptions& options);

// `index` counts the tokens of this generation: the random number is a function of (seed, index).
TokenId sample(std::span<const float> logits, const SamplingOptions& options, uint64_t index);

}  // namespace starling

// The next token from logits. In this order: temperature, min-p, top-k, top-p; then one draw.
//   p_i = exp(logit_i / temperature) / sum;  min-p keeps p_i >= min_p * max p (Nguyen et al. 2024, arXiv:2407.01082);
//   top-k keeps the k largest;  top-p keeps the fewest largest whose sum reaches top_p (Holtzman et al. 2020,
//   arXiv:1904.09751).
// Before it, in this order, the logits of single tokens are changed:
//   l > 0 ? l / r : l * r   of tokens of the prompt or generated, repetition penalty r (Keskar et al. 2019,
//                           arXiv:1909.05858)
//   l - frequency_penalty * count - presence_penalty * (count > 0)   count: times generated (OpenAI's reference)
//   l + logit_bias
//   -infinity               where the constraint allows no such token
// Equal probabilities rank by id, so the same logits, options and index give the same token on any machine.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "infer/engine.h"
#include "infer/grammar_constraint.h"

namespace starling {

// Throws ConfigError that names the option that is out of range.
void check_sampling(const SamplingOptions& options);

// `index` counts the tokens of this generation: the random number is a function of (seed, index).
TokenId sample(std::span<const float> logits, const SamplingOptions& options, uint64_t index);

// log softmax(logits)[token], and the `top` most probable ones.
ScoredToken score_token(std::span<const float> logits, TokenId token, int top);

// Chooses the tokens of one generation, one call after another.
class TokenChooser {
 public:
  // `most`: how many tokens may be generated.
  TokenChooser(const SamplingOptions& options, int most, std::span<const TokenId> prompt);

  TokenId choose(std::span<const float> logits);  // throws ConfigError when the constraint cannot go on
  bool complete() const { return cursor_ && cursor_->complete(); }  // the constraint lets nothing follow
  void prepare();  // makes the next token's mask ahead of time; from any thread

 private:
  TokenId choose_adjusted(std::span<const float> logits);
  void adjust();

  const SamplingOptions& options_;
  const int most_;
  int chosen_ = 0;
  std::vector<TokenId> prompt_tokens_;       // without repetitions; only for the repetition penalty
  std::unordered_map<TokenId, int> counts_;  // of generated tokens
  std::unique_ptr<ConstraintCursor> cursor_;
  std::vector<float> adjusted_;
};

}  // namespace starling

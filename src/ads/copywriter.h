// Ad copy from a language model. The brief is data in the prompt; what comes back is only a proposal, which the
// verifier and the policy judge.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ads/campaign.h"

namespace starling {

class Engine;

struct Draft {
  std::string headline, body;
};

class Copywriter {
 public:
  Copywriter(Engine& engine, const Brief& brief, uint64_t seed) : engine_(engine), brief_(brief), seed_(seed) {}

  // Another proposal at each call; the same seed, brief and model give the same proposals.
  Draft draft(const AdAudience& audience, int64_t now_s);
  // Mean log-likelihood a character of the text as an ad for the product, in nats; higher reads better to the model.
  double fluency(const Draft& draft);

 private:
  Engine& engine_;
  const Brief& brief_;
  uint64_t seed_;
  uint64_t attempts_ = 0;
};

// A model's answer as headline and body: without markup, quotes, labels ("Headline:") and a half last sentence.
Draft split_copy(std::string_view text);

}  // namespace starling

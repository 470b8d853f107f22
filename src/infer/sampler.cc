#include "infer/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "core/random.h"

namespace starling {
namespace {

constexpr uint64_t kSamplerStream = 0x73616d706c65;  // "sample": its own stream of random numbers

struct Candidate {
  float weight;  // p / max p
  TokenId id;
  bool operator<(const Candidate& other) const {
    return weight != other.weight ? weight < other.weight : id > other.id;
  }
};

double sum_of(const std::vector<Candidate>& candidates) {
  double sum = 0;
  for (const Candidate& c : candidates) sum += c.weight;
  return sum;
}

void keep_top_k(std::vector<Candidate>& candidates, int top_k) {
  const auto k = static_cast<size_t>(top_k);
  if (top_k == 0 || k >= candidates.size()) return;
  std::nth_element(candidates.begin(), candidates.begin() + top_k, candidates.end(),
                   [](const auto& a, const auto& b) { return b < a; });
  candidates.resize(k);
}

// A heap, because top-p usually keeps few of many.
void keep_top_p(std::vector<Candidate>& candidates, float top_p) {
  if (top_p >= 1.0f) return;
  const double wanted = top_p * sum_of(candidates);
  std::vector<Candidate> kept;
  std::make_heap(candidates.begin(), candidates.end());
  for (double mass = 0; mass < wanted && !candidates.empty(); mass += kept.back().weight) {
    std::pop_heap(candidates.begin(), candidates.end());
    kept.push_back(candidates.back());
    candidates.pop_back();
  }
  candidates = std::move(kept);
}

}  // namespace

void check_sampling(const SamplingOptions& o) {
  const auto require = [](bool holds, const char* what) {
    if (!holds) throw ConfigError(fmt::format("sampling: {}", what));
  };
  require(o.max_tokens >= 0, "max_tokens must not be negative");
  require(std::isfinite(o.temperature) && o.temperature >= 0, "temperature must be a number from 0");
  require(o.top_k >= 0, "top_k must not be negative");
  require(o.top_p > 0 && o.top_p <= 1, "top_p must be above 0 and at most 1");
  require(o.min_p >= 0 && o.min_p <= 1, "min_p must be between 0 and 1");
}

TokenId sample(std::span<const float> logits, const SamplingOptions& options, uint64_t index) {
  const auto best = std::max_element(logits.begin(), logits.end());  // the first of equals
  if (options.temperature == 0) return static_cast<TokenId>(best - logits.begin());
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    const float weight = std::exp((logits[i] - *best) / options.temperature);
    if (weight >= options.min_p) candidates.push_back({weight, static_cast<TokenId>(i)});
  }
  keep_top_k(candidates, options.top_k);
  keep_top_p(candidates, options.top_p);
  double left = sum_of(candidates) * random_uniform(options.seed, kSamplerStream, index);
  for (const Candidate& c : candidates) {
    left -= c.weight;
    if (left < 0) return c.id;
  }
  return candidates.back().id;
}

}  // namespace starling

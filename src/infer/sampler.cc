#include "infer/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "core/random.h"
#include "infer/vector_math.h"

namespace starling {
namespace {

constexpr int kMaxTopLogprobs = 20;
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

// exp((l_i - max l) / temperature); 0 for what is below exp(-87), the least that exp8 gives.
std::vector<float> weights_of(std::span<const float> logits, float largest, float temperature) {
  std::vector<float> weights(logits.size());
  const __m256 offset = _mm256_set1_ps(largest), scale = _mm256_set1_ps(1.0f / temperature);
  for (size_t i = 0; i < logits.size(); i += 8) {
    const auto left = static_cast<int64_t>(logits.size() - i);
    const __m256 x = _mm256_mul_ps(_mm256_sub_ps(load8(&logits[i], left), offset), scale);
    const __m256 is_more = _mm256_cmp_ps(x, _mm256_set1_ps(-87.0f), _CMP_GE_OQ);
    store8(&weights[i], left, _mm256_and_ps(exp8(x), is_more));
  }
  return weights;
}

// The token at which the sum of the weights passes `part` (below 1) of the whole.
TokenId draw(std::span<const float> weights, double part) {
  constexpr size_t kBlock = 256;  // most blocks are only passed by
  std::vector<double> sums;
  for (size_t first = 0; first < weights.size(); first += kBlock) {
    const std::span<const float> block = weights.subspan(first, std::min(kBlock, weights.size() - first));
    double sum[4] = {};
    for (size_t i = 0; i < block.size(); ++i) sum[i % 4] += static_cast<double>(block[i]);
    sums.push_back(sum[0] + sum[1] + sum[2] + sum[3]);
  }
  double left = std::accumulate(sums.begin(), sums.end(), 0.0) * part;
  size_t block = 0;
  for (; block + 1 < sums.size() && left >= sums[block]; ++block) left -= sums[block];
  size_t likely = 0;  // the last that may be drawn, should rounding leave nothing after it
  for (size_t i = block * kBlock; i < weights.size() && left >= 0; ++i) {
    if (weights[i] == 0) continue;
    left -= static_cast<double>(weights[i]);
    likely = i;
  }
  return static_cast<TokenId>(likely);
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
  require(std::isfinite(o.presence_penalty) && std::isfinite(o.frequency_penalty), "penalties must be numbers");
  require(std::isfinite(o.repetition_penalty) && o.repetition_penalty > 0, "repetition_penalty must be above 0");
  require(o.logprobs <= kMaxTopLogprobs, "at most 20 most probable tokens are reported");
  for (const TokenBias& bias : o.logit_bias) require(!std::isnan(bias.bias), "a logit bias must be a number");
}

TokenId sample(std::span<const float> logits, const SamplingOptions& options, uint64_t index) {
  const float largest = max_of(logits);
  const size_t best = index_of(logits, largest);
  if (best == logits.size()) return 0;  // a broken model's NaN
  // Of what is no normal number 1 / temperature may be infinite; the limit of small temperatures is the largest logit.
  if (options.temperature < std::numeric_limits<float>::min()) return static_cast<TokenId>(best);
  const std::vector<float> weights = weights_of(logits, largest, options.temperature);
  const double part = random_uniform(options.seed, kSamplerStream, index);
  if (options.top_k == 0 && options.top_p >= 1 && options.min_p == 0) return draw(weights, part);
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < weights.size(); ++i)
    if (weights[i] >= options.min_p && weights[i] > 0) candidates.push_back({weights[i], static_cast<TokenId>(i)});
  keep_top_k(candidates, options.top_k);
  keep_top_p(candidates, options.top_p);
  double left = sum_of(candidates) * part;
  for (const Candidate& c : candidates) {
    left -= c.weight;
    if (left < 0) return c.id;
  }
  return candidates.empty() ? 0 : candidates.back().id;
}

ScoredToken score_token(std::span<const float> logits, TokenId token, int top) {
  const float best = max_of(logits);
  double sum = 0;  // of 8 lanes at a time: f32 within a vector, f64 across
  const __m256 largest = _mm256_set1_ps(best);
  size_t i = 0;
  for (; i + 8 <= logits.size(); i += 8) sum += sum8(exp8(_mm256_sub_ps(_mm256_loadu_ps(&logits[i]), largest)));
  for (; i < logits.size(); ++i) sum += std::exp(logits[i] - best);
  const double log_sum = best + std::log(sum);
  const auto logprob = [&](TokenId id) { return static_cast<float>(logits[static_cast<size_t>(id)] - log_sum); };
  ScoredToken scored{.token = token, .logprob = logprob(token)};
  std::vector<Candidate> ranked;
  const auto count = std::min(static_cast<size_t>(std::max(top, 0)), logits.size());
  for (size_t id = 0; count > 0 && id < logits.size(); ++id) {
    const Candidate candidate{logits[id], static_cast<TokenId>(id)};
    if (ranked.size() == count && !(ranked.back() < candidate)) continue;
    ranked.insert(std::upper_bound(ranked.begin(), ranked.end(), candidate, [](auto& a, auto& b) { return b < a; }),
                  candidate);
    if (ranked.size() > count) ranked.pop_back();
  }
  for (const Candidate& c : ranked) scored.top.push_back({c.id, logprob(c.id)});
  return scored;
}

TokenChooser::TokenChooser(const SamplingOptions& options, int most, std::span<const TokenId> prompt)
    : options_(options), most_(most) {
  if (options.repetition_penalty != 1) {
    prompt_tokens_.assign(prompt.begin(), prompt.end());
    std::sort(prompt_tokens_.begin(), prompt_tokens_.end());
    prompt_tokens_.erase(std::unique(prompt_tokens_.begin(), prompt_tokens_.end()), prompt_tokens_.end());
  }
  if (options.constraint) cursor_ = std::make_unique<ConstraintCursor>(options.constraint);
}

void TokenChooser::adjust() {
  const SamplingOptions& o = options_;
  const auto logit = [&](TokenId id) -> float* {
    return static_cast<size_t>(id) < adjusted_.size() ? &adjusted_[static_cast<size_t>(id)] : nullptr;
  };
  const auto repeat = [&](TokenId id) {
    if (float* l = logit(id)) *l = *l > 0 ? *l / o.repetition_penalty : *l * o.repetition_penalty;
  };
  for (const TokenId id : prompt_tokens_) repeat(id);
  for (const auto& [id, count] : counts_) {
    const bool in_prompt = std::binary_search(prompt_tokens_.begin(), prompt_tokens_.end(), id);
    if (o.repetition_penalty != 1 && !in_prompt) repeat(id);
    if (float* l = logit(id)) *l -= o.frequency_penalty * static_cast<float>(count) + o.presence_penalty;
  }
  for (const TokenBias& b : o.logit_bias)
    if (float* l = logit(b.token)) *l += b.bias;
}

// The constraint's mask is kept for each of its states; whether the end can still be reached depends on the tokens
// left, so it is looked at only for the token that is drawn.
TokenId TokenChooser::choose_adjusted(std::span<const float> logits) {
  adjusted_.assign(logits.begin(), logits.end());
  adjust();
  const auto draw = [&] { return sample(adjusted_, options_, static_cast<uint64_t>(chosen_)); };
  if (!cursor_) return draw();
  cursor_->mask(adjusted_);
  // Such a token is drawn only when all are forbidden.
  const auto is_forbidden = [&](TokenId id) {
    return adjusted_[static_cast<size_t>(id)] == -std::numeric_limits<float>::infinity();
  };
  TokenId id = draw();
  if (is_forbidden(id)) throw ConfigError("logit_bias forbids every token with which the text can go on in its form");
  const int left = most_ - chosen_;
  if (!cursor_->leaves_room(id, left)) {
    cursor_->mask_near_end(adjusted_, left);
    if (const TokenId nearer = draw(); !is_forbidden(nearer)) id = nearer;
  }
  cursor_->advance(id);
  return id;
}

TokenId TokenChooser::choose(std::span<const float> logits) {
  const SamplingOptions& o = options_;
  const bool counts = o.presence_penalty != 0 || o.frequency_penalty != 0 || o.repetition_penalty != 1;
  const bool plain = !counts && o.logit_bias.empty() && !cursor_;
  const TokenId id = plain ? sample(logits, o, static_cast<uint64_t>(chosen_)) : choose_adjusted(logits);
  if (counts) ++counts_[id];
  ++chosen_;
  return id;
}

void TokenChooser::prepare() {
  if (cursor_) cursor_->prepare();
}

}  // namespace starling

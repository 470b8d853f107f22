#include "infer/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/threads.h"
#include "infer/attention.h"
#include "infer/vector_math.h"
#include "ops/quantized_product.h"

namespace starling {
namespace {

// Rows of so many values that are worth waking a second thread for.
int64_t row_grain(int64_t values) { return std::max<int64_t>(1, 8192 / values); }

// y[c] = x[c] / sqrt(mean_c x[c]^2 + eps) * w[c]
void rmsnorm_row(float* y, const float* x, const std::vector<float>& w, float eps) {
  const auto size = static_cast<int64_t>(w.size());
  __m256 squares = _mm256_setzero_ps();
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) squares = _mm256_fmadd_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(x + i), squares);
  float sum = sum8(squares);
  for (; i < size; ++i) sum = std::fma(x[i], x[i], sum);
  const float scale = 1.0f / std::sqrt(sum / static_cast<float>(size) + eps);
  for (int64_t c = 0; c < size; ++c) y[c] = x[c] * scale * w[static_cast<size_t>(c)];
}

void rmsnorm(std::vector<float>& y, const std::vector<float>& x, const std::vector<float>& w, float eps) {
  const auto size = static_cast<int64_t>(w.size());
  y.resize(x.size());
  parallel_for(static_cast<int64_t>(x.size()) / size, row_grain(size), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) rmsnorm_row(y.data() + row * size, x.data() + row * size, w, eps);
  });
}

// Rotates the pairs (i, i + d/2) of every head: (a, b) -> (a cos - b sin, b cos + a sin).
void rotate_heads(float* row, int64_t heads, int64_t d, const float* cosine, const float* sine) {
  for (int64_t head = 0; head < heads; ++head, row += d) {
    for (int64_t i = 0; i < d / 2; ++i) {
      const float a = row[i], b = row[i + d / 2];
      row[i] = a * cosine[i] - b * sine[i];
      row[i + d / 2] = b * cosine[i] + a * sine[i];
    }
  }
}

// y[n,c] += bias[c]; no bias adds nothing.
void add_bias(std::vector<float>& y, const std::vector<float>& bias) {
  if (bias.empty()) return;
  for (size_t first = 0; first < y.size(); first += bias.size())
    for (size_t c = 0; c < bias.size(); ++c) y[first + c] += bias[c];
}

}  // namespace

Decoder::Decoder(ModelConfig config, LlamaWeights weights)
    : config_(config), weights_(std::move(weights)), feed_forward_(config) {
  for (float& weight : weights_.final_norm) weight *= config_.logit_scale;
  const int64_t half = config_.head_size() / 2;
  const std::vector<double> frequencies = config_.rope_frequencies();
  const double magnitude = config_.rope_magnitude();
  cosine_.resize(config_.max_positions * half);
  sine_.resize(config_.max_positions * half);
  for (int64_t i = 0; i < half; ++i) {
    for (int64_t position = 0; position < config_.max_positions; ++position) {
      const double angle = static_cast<double>(position) * frequencies[i];
      cosine_[position * half + i] = static_cast<float>(magnitude * std::cos(angle));
      sine_[position * half + i] = static_cast<float>(magnitude * std::sin(angle));
    }
  }
}

std::span<const float> Decoder::forward(std::span<const BatchSpan> batch) {
  check(batch);
  embed(batch);
  for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
    const LayerWeights& w = weights_.layers[layer];
    attention(batch, layer);
    rmsnorm(normed_, residual_, w.mlp_norm, config_.rms_norm_eps);
    branch_.resize(residual_.size());
    feed_forward_.run(branch_.data(), normed_.data(), tokens_, w, instructions_);
    add_branch(w.mlp_output_norm);
  }
  rmsnorm(normed_, residual_, weights_.final_norm, config_.rms_norm_eps);
  for (const BatchSpan& span : batch) span.cache->length += static_cast<int64_t>(span.tokens.size());
  return normed_;
}

void Decoder::logits(std::span<const float> hidden, std::span<float> logits) const {
  const QuantizedMatrix& head = config_.tied_head ? weights_.embedding : weights_.head;
  quantized_product(logits.data(), hidden.data(), static_cast<int64_t>(hidden.size()) / config_.hidden_size, head,
                    instructions_);
}

void Decoder::check(std::span<const BatchSpan> batch) const {
  for (const BatchSpan& span : batch) {
    if (span.cache->length + static_cast<int64_t>(span.tokens.size()) > config_.max_positions) {
      throw DataError(fmt::format("{} tokens are more than the model's {} positions",
                                  span.cache->length + span.tokens.size(), config_.max_positions));
    }
    for (TokenId token : span.tokens) {
      if (token < 0 || token >= config_.vocab_size) {
        throw DataError(fmt::format("token {} is outside the model's vocabulary of {}", token, config_.vocab_size));
      }
    }
  }
}

void Decoder::embed(std::span<const BatchSpan> batch) {
  tokens_ = 0;
  for (const BatchSpan& span : batch) tokens_ += static_cast<int64_t>(span.tokens.size());
  residual_.resize(tokens_ * config_.hidden_size);
  int64_t row = 0;
  for (const BatchSpan& span : batch) {
    span.cache->reserve(span.cache->length + static_cast<int64_t>(span.tokens.size()));
    for (TokenId token : span.tokens) {
      const auto values = std::span(residual_).subspan(row++ * config_.hidden_size, config_.hidden_size);
      weights_.embedding.get_row(token, values);
      for (float& value : values) value *= config_.embedding_scale;
    }
  }
}

void Decoder::rotate(std::span<const BatchSpan> batch) {
  const int64_t d = config_.head_size();
  int64_t row = 0;
  for (const BatchSpan& span : batch) {
    const auto tokens = static_cast<int64_t>(span.tokens.size());
    parallel_for(tokens, row_grain(config_.query_size()), [&](int64_t begin, int64_t end) {
      for (int64_t token = begin; token < end; ++token) {
        const int64_t angles = (span.cache->length + token) * d / 2;
        rotate_heads(q_.data() + (row + token) * config_.query_size(), config_.num_heads, d, cosine_.data() + angles,
                     sine_.data() + angles);
        rotate_heads(k_.data() + (row + token) * config_.kv_size(), config_.num_kv_heads, d, cosine_.data() + angles,
                     sine_.data() + angles);
      }
    });
    row += tokens;
  }
}

void Decoder::attention(std::span<const BatchSpan> batch, int64_t layer) {
  const LayerWeights& w = weights_.layers[layer];
  rmsnorm(normed_, residual_, w.attention_norm, config_.rms_norm_eps);
  q_.resize(tokens_ * config_.query_size());
  k_.resize(tokens_ * config_.kv_size());
  v_.resize(tokens_ * config_.kv_size());
  mixed_.resize(q_.size());
  const QuantizedProduct products[] = {{q_.data(), &w.q}, {k_.data(), &w.k}, {v_.data(), &w.v}};
  quantized_products(products, normed_.data(), tokens_, instructions_);
  add_bias(q_, w.q_bias);
  add_bias(k_, w.k_bias);
  add_bias(v_, w.v_bias);
  rotate(batch);

  std::vector<AttentionSpan> pieces;  // a few tokens each, so that threads share the work evenly
  int64_t row = 0;
  for (const BatchSpan& span : batch) {
    const auto tokens = static_cast<int64_t>(span.tokens.size());
    store_keys_values({span.cache, span.cache->length, tokens}, k_.data() + row * config_.kv_size(),
                      v_.data() + row * config_.kv_size(), layer, config_);
    for (int64_t first = 0; first < tokens; first += kAttentionTokens) {
      const int64_t offset = (row + first) * config_.query_size();
      pieces.push_back({span.cache, span.cache->length + first, std::min(kAttentionTokens, tokens - first),
                        q_.data() + offset, mixed_.data() + offset});
    }
    row += tokens;
  }
  attend_all(pieces, layer);
  branch_.resize(residual_.size());
  quantized_product(branch_.data(), mixed_.data(), tokens_, w.o, instructions_);
  add_branch(w.attention_output_norm);
}

// A decoding sequence's pages are read as many heads at a time as leaves each thread some work: they lie one after
// another in memory. Of a prompt a head at a time, whose scores then stay in the cache.
void Decoder::attend_all(std::span<const AttentionSpan> pieces, int64_t layer) const {
  const auto together = std::clamp<int64_t>(
      static_cast<int64_t>(pieces.size()) * config_.num_kv_heads / compute_threads(), 1, config_.num_kv_heads);
  std::vector<std::pair<const AttentionSpan*, HeadRange>> items;
  // Late pieces of a long prompt see more positions: neighbours go to different threads by counting heads outermost.
  for (int64_t head = 0; head < config_.num_kv_heads; ++head) {
    for (const AttentionSpan& piece : pieces) {
      const int64_t heads = piece.tokens == 1 ? together : 1;
      if (head % heads == 0) items.push_back({&piece, {head, std::min(heads, config_.num_kv_heads - head)}});
    }
  }
  parallel_for(static_cast<int64_t>(items.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item)
      attend(*items[item].first, items[item].second, layer, config_, instructions_);
  });
}

void Decoder::add_branch(const std::vector<float>& output_norm) {
  if (!output_norm.empty()) {
    rmsnorm(normed_, branch_, output_norm, config_.rms_norm_eps);
    std::swap(normed_, branch_);
  }
  add_values(residual_.data(), branch_.data(), static_cast<int64_t>(residual_.size()));
}

}  // namespace starling

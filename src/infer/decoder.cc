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

// y += x of one row; no x adds nothing.
void add_row(float* y, std::span<const float> x) {
  for (size_t c = 0; c < x.size(); ++c) y[c] += x[c];
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
    add_branch(w.attention_output_norm, w.mlp_norm);
    feed_forward_.run(branch_.data(), normed_.data(), tokens_, w, instructions_);
    add_branch(w.mlp_output_norm, norm_before(layer + 1));
  }
  for (const BatchSpan& span : batch) span.cache->length += static_cast<int64_t>(span.tokens.size());
  return normed_;
}

const std::vector<float>& Decoder::norm_before(int64_t layer) const {
  return layer < config_.num_layers ? weights_.layers[layer].attention_norm : weights_.final_norm;
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
  rows_.clear();
  for (const BatchSpan& span : batch) {
    int64_t position = span.cache->length;
    span.cache->reserve(position + static_cast<int64_t>(span.tokens.size()));
    for (TokenId token : span.tokens) rows_.push_back({span.cache, position++, token});
  }
  tokens_ = static_cast<int64_t>(rows_.size());
  for (std::vector<float>* values : {&residual_, &normed_, &branch_}) values->resize(tokens_ * config_.hidden_size);
  for_each_row(config_.hidden_size, [&](int64_t row) {
    const auto values = std::span(residual_).subspan(row * config_.hidden_size, config_.hidden_size);
    weights_.embedding.get_row(rows_[row].token, values);
    for (float& value : values) value *= config_.embedding_scale;
    rmsnorm_row(normed_.data() + row * config_.hidden_size, values.data(), norm_before(0), config_.rms_norm_eps);
  });
}

template <typename Body>
void Decoder::for_each_row(int64_t values, const Body& body) const {
  parallel_for(tokens_, row_grain(values), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

void Decoder::rotate_and_store(int64_t layer) {
  const LayerWeights& w = weights_.layers[layer];
  const int64_t d = config_.head_size();
  for_each_row(config_.qkv_size(), [&](int64_t row) {
    float *q = q_.data() + row * config_.query_size(), *k = k_.data() + row * config_.kv_size(),
          *v = v_.data() + row * config_.kv_size();
    add_row(q, w.q_bias), add_row(k, w.k_bias), add_row(v, w.v_bias);
    const auto& [cache, position, token] = rows_[row];
    const float *cosine = cosine_.data() + position * d / 2, *sine = sine_.data() + position * d / 2;
    rotate_heads(q, config_.num_heads, d, cosine, sine);
    rotate_heads(k, config_.num_kv_heads, d, cosine, sine);
    store_keys_values({cache, position, 1}, k, v, layer, config_);
  });
}

void Decoder::attention(std::span<const BatchSpan> batch, int64_t layer) {
  const LayerWeights& w = weights_.layers[layer];
  q_.resize(tokens_ * config_.query_size());
  k_.resize(tokens_ * config_.kv_size());
  v_.resize(tokens_ * config_.kv_size());
  mixed_.resize(q_.size());
  const QuantizedProduct products[] = {{q_.data(), &w.q}, {k_.data(), &w.k}, {v_.data(), &w.v}};
  quantized_products(products, normed_.data(), tokens_, instructions_);
  rotate_and_store(layer);

  std::vector<AttentionSpan> pieces;  // a few tokens each, so that threads share the work evenly
  int64_t row = 0;
  for (const BatchSpan& span : batch) {
    const auto tokens = static_cast<int64_t>(span.tokens.size());
    for (int64_t first = 0; first < tokens; first += kAttentionTokens) {
      const int64_t offset = (row + first) * config_.query_size();
      pieces.push_back({span.cache, span.cache->length + first, std::min(kAttentionTokens, tokens - first),
                        q_.data() + offset, mixed_.data() + offset});
    }
    row += tokens;
  }
  attend_all(pieces, layer);
  quantized_product(branch_.data(), mixed_.data(), tokens_, w.o, instructions_);
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

void Decoder::add_branch(const std::vector<float>& output_norm, const std::vector<float>& next_norm) {
  const auto size = static_cast<size_t>(config_.hidden_size);
  for_each_row(config_.hidden_size, [&](int64_t row) {
    const size_t first = static_cast<size_t>(row) * size;
    float* const branch = branch_.data() + first;
    if (!output_norm.empty()) rmsnorm_row(branch, branch, output_norm, config_.rms_norm_eps);
    add_row(residual_.data() + first, {branch, size});
    rmsnorm_row(normed_.data() + first, residual_.data() + first, next_norm, config_.rms_norm_eps);
  });
}

}  // namespace starling

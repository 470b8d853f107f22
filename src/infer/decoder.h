// The forward pass of a Llama decoder for inference, over tokens of several sequences in one batch. A token's result
// has the same bits whatever else is in the batch and however its sequence was cut into batches.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "infer/attention.h"
#include "infer/feed_forward.h"
#include "infer/kv_cache.h"
#include "infer/weights.h"
#include "ops/quantized_product.h"
#include "tokenizer/tokenizer.h"

namespace starling {

// The next tokens of one sequence; they take the positions cache->length, cache->length + 1, ...
struct BatchSpan {
  KvCache* cache = nullptr;
  std::span<const TokenId> tokens;
};

// Not thread-safe: the buffers of a pass are kept between calls.
class Decoder {
 public:
  Decoder(ModelConfig config, LlamaWeights weights);

  // Returns the hidden states after the final norm, times logit_scale, [all tokens, C], valid until the next call;
  // extends the caches.
  // Throws DataError for a token outside the vocabulary or a sequence longer than max_positions.
  std::span<const float> forward(std::span<const BatchSpan> batch);

  // logits [rows, V] of hidden states [rows, C].
  void logits(std::span<const float> hidden, std::span<float> logits) const;

  // The kernels of the products; the best of this processor from the start. All give the same bits.
  void use(InstructionSet instructions) { instructions_ = instructions; }

  const ModelConfig& config() const { return config_; }
  const LlamaWeights& weights() const { return weights_; }

 private:
  void check(std::span<const BatchSpan> batch) const;
  void embed(std::span<const BatchSpan> batch);
  void attention(std::span<const BatchSpan> batch, int64_t layer);
  void rotate_and_store(int64_t layer);
  void attend_all(std::span<const AttentionSpan> pieces, int64_t layer) const;
  // residual_ += branch_, or its norm where one is given; normed_ = next_norm of residual_
  void add_branch(const std::vector<float>& output_norm, const std::vector<float>& next_norm);
  const std::vector<float>& norm_before(int64_t layer) const;  // the final norm after the last
  // body(row) of each of the batch's rows, each of so many values.
  template <typename Body>
  void for_each_row(int64_t values, const Body& body) const;

  struct Row {
    KvCache* cache;
    int64_t position;
    TokenId token;
  };

  InstructionSet instructions_ = best_instruction_set();
  ModelConfig config_;
  LlamaWeights weights_;
  QuantizedFeedForward feed_forward_;
  std::vector<float> cosine_, sine_;  // [max_positions, d/2]
  int64_t tokens_ = 0;                // of the current batch
  std::vector<Row> rows_;
  std::vector<float> residual_, normed_, q_, k_, v_, mixed_, branch_;
};

}  // namespace starling

// The Llama-style decoder of model/config.h for training and scoring: forward, loss, backward.
//
// Activations are assigned, gradients of parameters accumulate. The residual stream and all sums are f32; operands of
// products are in the compute type (bf16 or f32). Not thread-safe: one call at a time, each uses all compute threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "model/batch.h"
#include "model/config.h"
#include "model/feed_forward.h"
#include "model/lora.h"
#include "model/parameters.h"
#include "ops/linear_cross_entropy.h"
#include "tensor/buffer.h"

namespace starling {

enum class Recompute { none, blocks };

struct TransformerOptions {
  Recompute recompute = Recompute::none;
  Trained trained = Trained::all;   // none: forward() and score() alone, without memory for gradients
  std::optional<LoraOptions> lora;  // train adapters and keep the parameters as they are
  Device device = Device::cpu;      // where the memory is, hence where the operators run
};

class Transformer {
 public:
  // Memory for activations of up to `max_tokens` = B*T places. With Recompute::blocks only the input of each block is
  // kept and backward makes the rest again: about a third more arithmetic, the same bits. Throws ConfigError.
  Transformer(const ModelConfig& config, DType compute, int64_t max_tokens, const TransformerOptions& options = {});

  const ModelConfig& config() const { return config_; }
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }
  Lora* lora() { return lora_ ? &*lora_ : nullptr; }

  // Hidden states after the final norm, times logit_scale [B*T, C], in the compute type, valid until the next call.
  // Throws ShapeError when the batch is too large, DataError for a token outside the vocabulary.
  ConstTensor forward(const Batch& batch);
  // forward, then -log p(target) of every place in nats (0 where the target is below 0).
  std::vector<float> score(const Batch& batch);
  // forward and backward of the loss of linear_cross_entropy.h; returns the sum of nats, neither scaled nor with z.
  // With experts the loss has besides  scale * targets that count * router_loss * mean over the blocks of their
  // imbalance.
  double train(const Batch& batch, const CrossEntropyLoss& loss);
  // The same for a loss whose derivative by the nats of each sequence (sums over its places) `weigh` returns.
  using Weigh = std::function<std::vector<float>(std::span<const double> sequence_nats)>;
  void train_sequences(const Batch& batch, const Weigh& weigh);
  // After forward(batch): gradients of the parameters from those of the hidden states [B*T, C] in the compute type.
  void backward(const Batch& batch, ConstTensor dhidden);

  // Of the last forward pass, one a block; none without experts.
  std::vector<ExpertLoad> expert_loads() const { return feed_forward_->expert_loads(); }
  int64_t activation_bytes() const { return arena_.bytes(); }

 private:
  struct BlockActivations {
    Tensor x, norm1, rstd1, qkv, lse, attention;  // x: the block's input
    Tensor h, norm2, rstd2;                       // h: between attention and feed-forward
    // What attention and feed-forward return where it is normalized; else empty.
    Tensor attention_output, attention_output_rstd, feed_forward_output, feed_forward_output_rstd;
  };
  Tensor sized(Tensor full, int64_t tokens) const { return full.rows(0, tokens); }
  BlockActivations block_activations(int64_t layer, const Batch& batch) const;
  Tensor norm_gradient(Tensor wanted) const { return wanted.empty() ? unread_norm_ : wanted; }
  ConstTensor scaled_final_norm();
  void backward_final_norm(Tensor dx, ConstTensor dhidden);
  std::vector<float> nats_of(int64_t tokens) const;
  void load_batch(const Batch& batch);
  void forward_block(int64_t layer, const Batch& batch, Tensor y);
  void backward_block(int64_t layer, const Batch& batch, Tensor dx);

  ModelConfig config_;
  int64_t max_tokens_;
  Recompute recompute_;
  Parameters parameters_;
  std::optional<Lora> lora_;
  Arena arena_;
  std::unique_ptr<FeedForward> feed_forward_;
  float imbalance_weight_ = 0;            // of the backward pass under way
  std::vector<BlockActivations> blocks_;  // at max_tokens; under recomputation all but x are shared
  Tensor tokens_, targets_, positions_, document_starts_, rope_table_;
  Tensor last_x_, last_rstd_, hidden_, nats_;
  Tensor dx_, dbranch_, dnorm_, dqkv_, dattention_, dhidden_;
  Tensor doutput_;      // of an output that is normalized
  Tensor scaled_norm_;  // [C] the final norm times logit_scale
  Tensor unread_norm_;  // [C] where the gradient of a norm goes that is not trained
  LogitChunk logits_;
};

}  // namespace starling

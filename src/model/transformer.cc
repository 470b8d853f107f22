#include "model/transformer.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "ops/attention.h"
#include "ops/bias.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/rmsnorm.h"
#include "ops/rope.h"
#include "tensor/device.h"

namespace starling {
namespace {

AttentionShape attention_shape(const ModelConfig& c, const Batch& batch) {
  return {batch.sequences, batch.length, c.num_heads, c.num_kv_heads, c.head_size(), c.attention_cap};
}

}  // namespace

Transformer::Transformer(const ModelConfig& config, DType compute, int64_t max_tokens,
                         const TransformerOptions& options)
    : config_((config.check(), config)),
      max_tokens_(max_tokens),
      recompute_(options.recompute),
      parameters_(config, compute, options.lora ? Trained::none : options.trained, options.device),
      arena_(options.device),
      logits_(config.vocab_size, compute, max_tokens, options.device) {
  if (config.num_layers == 0) throw ConfigError("model config: a model without blocks is an embedding; it has no loss");
  if (options.lora && options.device != Device::cpu)
    throw ConfigError("LoRA adapters are trained on the CPU alone; train all weights on the GPU, or take device cpu");
  if (config.num_experts > 0 && options.device != Device::cpu)
    throw ConfigError("mixtures of experts are trained on the CPU alone; take the device cpu");
  if (options.lora) lora_.emplace(config, *options.lora, compute, max_tokens);
  const int64_t N = max_tokens, C = config.hidden_size, Q = config.query_size(), S = config.qkv_size();
  const auto full = [&](int64_t columns) { return arena_.allocate(DType::f32, {N, columns}); };
  const auto low = [&](int64_t columns) { return arena_.allocate(compute, {N, columns}); };
  const auto column = [&] { return arena_.allocate(DType::f32, {N}); };
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const bool shared = recompute_ == Recompute::blocks && layer > 0;
    if (shared) {
      blocks_.push_back(blocks_.front()), blocks_.back().x = full(C);
      continue;
    }
    blocks_.push_back({full(C), low(C), column(), low(S), full(config.num_heads), low(Q), full(C), low(C), column()});
    if (!config.is_grok1()) continue;
    BlockActivations& b = blocks_.back();
    b.attention_output = full(C), b.attention_output_rstd = column();
    b.feed_forward_output = full(C), b.feed_forward_output_rstd = column();
  }
  feed_forward_ = make_feed_forward(config, compute, max_tokens, recompute_ == Recompute::blocks, arena_);
  for (Tensor* ids : {&tokens_, &targets_, &positions_, &document_starts_}) *ids = arena_.allocate(DType::i32, {N});
  last_x_ = full(C), last_rstd_ = column(), hidden_ = low(C), nats_ = column();
  dx_ = full(C), dbranch_ = low(C), dnorm_ = low(C), dqkv_ = low(S), dattention_ = low(Q), dhidden_ = low(C);
  if (config.is_grok1()) doutput_ = full(C), scaled_norm_ = arena_.allocate(DType::f32, {C});
  unread_norm_ = arena_.allocate(DType::f32, {C});
  rope_table_ = arena_.allocate(DType::f32, {config.max_positions, config.head_size()});
  const HostDraft table(rope_table_);
  rope_fill_table(table.tensor(), config.rope_frequencies(), config.rope_magnitude());
  table.store();
}

void Transformer::load_batch(const Batch& batch) {
  const auto n = static_cast<size_t>(batch.size());
  if (batch.size() > max_tokens_ || batch.tokens.size() != n || batch.targets.size() != n ||
      batch.positions.size() != n || batch.document_starts.size() != n)
    throw ShapeError(fmt::format("a batch of {} x {} tokens does not fit the model's {} places or its own lists",
                                 batch.sequences, batch.length, max_tokens_));
  std::vector<int32_t> starts = batch.document_starts;
  // A window is a later start: attention sees the places from a row's start to the row.
  if (config_.sliding_window > 0)
    for (size_t i = 0; i < n; ++i)
      starts[i] = std::max(starts[i],
                           static_cast<int32_t>(static_cast<int64_t>(i) % batch.length - config_.sliding_window + 1));
  const auto fill = [&](const Tensor& to, const std::vector<int32_t>& from) {
    copy(sized(to, batch.size()), {from.data(), DType::i32, {batch.size()}});
  };
  fill(tokens_, batch.tokens), fill(targets_, batch.targets);
  fill(positions_, batch.positions), fill(document_starts_, starts);
}

Transformer::BlockActivations Transformer::block_activations(int64_t layer, const Batch& batch) const {
  const BlockActivations& b = blocks_[static_cast<size_t>(layer)];
  const auto cut = [&](const Tensor& tensor) { return tensor.empty() ? tensor : tensor.rows(0, batch.size()); };
  const Tensor lse = b.lse.view({batch.sequences, config_.num_heads, batch.length});
  return {cut(b.x),
          cut(b.norm1),
          cut(b.rstd1),
          cut(b.qkv),
          lse,
          cut(b.attention),
          cut(b.h),
          cut(b.norm2),
          cut(b.rstd2),
          cut(b.attention_output),
          cut(b.attention_output_rstd),
          cut(b.feed_forward_output),
          cut(b.feed_forward_output_rstd)};
}

ConstTensor Transformer::scaled_final_norm() {
  if (config_.logit_scale == 1) return parameters_.final_norm();
  copy(scaled_norm_, parameters_.final_norm());
  scale(scaled_norm_, config_.logit_scale);
  return scaled_norm_;
}

ConstTensor Transformer::forward(const Batch& batch) {
  load_batch(batch);
  const int64_t n = batch.size(), L = config_.num_layers;
  const Tensor x = sized(blocks_[0].x, n);
  embedding_forward(x, sized(tokens_, n), parameters_.embedding());
  if (config_.embedding_scale != 1) scale(x, config_.embedding_scale);
  for (int64_t layer = 0; layer < L; ++layer)
    forward_block(layer, batch, sized(layer + 1 < L ? blocks_[static_cast<size_t>(layer) + 1].x : last_x_, n));
  rmsnorm_forward(sized(hidden_, n), sized(last_rstd_, n), sized(last_x_, n), scaled_final_norm(),
                  config_.rms_norm_eps);
  return sized(hidden_, n);
}

void Transformer::forward_block(int64_t layer, const Batch& batch, Tensor out) {
  const BlockActivations a = block_activations(layer, batch);
  const BlockViews<ConstTensor> w = parameters_.block(layer);
  const int64_t rotated = config_.num_heads + config_.num_kv_heads;
  // y = x + branch, or x + rmsnorm(branch) where the block keeps the branch's output; `accumulate` adds it to a sum.
  const auto add_branch = [&](Tensor y, ConstTensor x, Tensor output, Tensor rstd, ConstTensor norm,
                              const auto& accumulate) {
    if (output.empty()) {
      copy(y, x);
      return accumulate(y);
    }
    set_zero(output);
    accumulate(output);
    rmsnorm_forward(y, rstd, output, norm, config_.rms_norm_eps);
    add(y, x);
  };
  // 1. attention's input
  rmsnorm_forward(a.norm1, a.rstd1, a.x, w.input_norm, config_.rms_norm_eps);
  // 2. queries, keys, values, and their positions
  linear_forward(a.qkv, a.norm1, w.qkv);
  if (lora_) lora_->forward(layer, LoraSite::qkv, a.qkv, a.norm1);
  if (config_.qkv_bias) bias_forward(a.qkv, w.qkv_bias);
  rope_forward(a.qkv, rope_table_, sized(positions_, batch.size()), rotated);
  // 3. attention
  attention_forward(a.attention, a.lse, a.qkv, sized(document_starts_, batch.size()), attention_shape(config_, batch));
  // 4. h = x + Wo attention
  add_branch(a.h, a.x, a.attention_output, a.attention_output_rstd, w.attention_output_norm, [&](Tensor sum) {
    linear_forward(sum, a.attention, w.attention_out, Accumulate::yes);
    if (lora_) lora_->forward(layer, LoraSite::attention_out, sum, a.attention);
  });
  // 5. the feed-forward's input
  rmsnorm_forward(a.norm2, a.rstd2, a.h, w.post_norm, config_.rms_norm_eps);
  // 6. y = h + F(n2)
  add_branch(out, a.h, a.feed_forward_output, a.feed_forward_output_rstd, w.feed_forward_output_norm,
             [&](Tensor sum) { feed_forward_->forward({.layer = layer, .w = w, .lora = lora()}, sum, a.norm2); });
}

std::vector<float> Transformer::nats_of(int64_t tokens) const {
  const HostCopy nats(sized(nats_, tokens));
  const float* values = nats.tensor().as<float>();
  return {values, values + tokens};
}

std::vector<float> Transformer::score(const Batch& batch) {
  const int64_t n = batch.size();
  const ConstTensor hidden = forward(batch);
  linear_cross_entropy_forward(sized(nats_, n), hidden, parameters_.head(), sized(targets_, n), logits_);
  return nats_of(n);
}

double Transformer::train(const Batch& batch, const CrossEntropyLoss& loss) {
  const int64_t n = batch.size();
  const ConstTensor hidden = forward(batch);
  linear_cross_entropy_train(sized(nats_, n), sized(dhidden_, n), parameters_.head_gradient(), hidden,
                             parameters_.head(), sized(targets_, n), loss, logits_);
  imbalance_weight_ =
      loss.scale * static_cast<float>(batch.scored()) * config_.router_loss / static_cast<float>(config_.num_layers);
  backward(batch, sized(dhidden_, n));
  imbalance_weight_ = 0;
  double total = 0;
  for (const float nats : nats_of(n)) total += static_cast<double>(nats);
  return total;
}

void Transformer::train_sequences(const Batch& batch, const Weigh& weigh) {
  const int64_t T = batch.length;
  const ConstTensor hidden = forward(batch);
  linear_cross_entropy_forward(sized(nats_, batch.size()), hidden, parameters_.head(), sized(targets_, batch.size()),
                               logits_);
  std::vector<double> sums(static_cast<size_t>(batch.sequences), 0.0);
  const std::vector<float> nats = nats_of(batch.size());
  for (size_t i = 0; i < nats.size(); ++i) sums[i / static_cast<size_t>(T)] += static_cast<double>(nats[i]);
  const std::vector<float> weights = weigh(sums);
  for (int64_t s = 0; s < batch.sequences; ++s)
    linear_cross_entropy_train(nats_.rows(s * T, T), dhidden_.rows(s * T, T), parameters_.head_gradient(),
                               hidden.rows(s * T, T), parameters_.head(), targets_.rows(s * T, T),
                               {.scale = weights[static_cast<size_t>(s)]}, logits_);
  backward(batch, sized(dhidden_, batch.size()));
}

void Transformer::backward(const Batch& batch, ConstTensor dhidden) {
  const int64_t n = batch.size();
  const Tensor dx = sized(dx_, n);
  set_zero(dx);
  backward_final_norm(dx, dhidden);
  for (int64_t layer = config_.num_layers - 1; layer >= 0; --layer) {
    // The last block's activations are still there; its output is not needed again.
    const bool gone = recompute_ == Recompute::blocks && layer + 1 < config_.num_layers;
    if (gone) forward_block(layer, batch, sized(last_x_, n));
    backward_block(layer, batch, dx);
  }
  if (config_.embedding_scale != 1) scale(dx, config_.embedding_scale);
  if (const Tensor g = parameters_.embedding_gradient(); !g.empty()) embedding_backward(g, sized(tokens_, n), dx);
}

void Transformer::backward_final_norm(Tensor dx, ConstTensor dhidden) {
  const int64_t n = dx.extent(0);
  const Tensor wanted = parameters_.final_norm_gradient();
  if (config_.logit_scale == 1)
    return rmsnorm_backward(dx, norm_gradient(wanted), dhidden, sized(last_x_, n), parameters_.final_norm(),
                            sized(last_rstd_, n));
  const Tensor dnorm = unread_norm_;  // of the scaled norm
  set_zero(dnorm);
  rmsnorm_backward(dx, dnorm, dhidden, sized(last_x_, n), scaled_final_norm(), sized(last_rstd_, n));
  scale(dnorm, config_.logit_scale);
  if (!wanted.empty()) add(wanted, dnorm);
}

// dx holds the gradient of the block's output and becomes that of its input: the residual stream passes it on
// unchanged, and each norm adds what comes through its branch.
void Transformer::backward_block(int64_t layer, const Batch& batch, Tensor dx) {
  const BlockActivations a = block_activations(layer, batch);
  const BlockViews<ConstTensor> w = parameters_.block(layer);
  const BlockViews<Tensor> g = parameters_.block_gradients(layer);
  const int64_t n = batch.size(), rotated = config_.num_heads + config_.num_kv_heads;
  const Tensor dbranch = sized(dbranch_, n), dnorm = sized(dnorm_, n), dqkv = sized(dqkv_, n),
               dattention = sized(dattention_, n);
  // What reaches the output of attention or feed-forward, through its norm where there is one.
  const auto convert_branch = [&](ConstTensor output, ConstTensor rstd, ConstTensor norm, Tensor dnorm) {
    if (output.empty()) return convert(dbranch, dx);
    const Tensor doutput = sized(doutput_, n);
    set_zero(doutput);
    rmsnorm_backward(doutput, norm_gradient(dnorm), dx, output, norm, rstd);
    convert(dbranch, doutput);
  };
  // 6. y = h + F(n2)
  convert_branch(a.feed_forward_output, a.feed_forward_output_rstd, w.feed_forward_output_norm,
                 g.feed_forward_output_norm);
  feed_forward_->backward({layer, w, g, lora(), imbalance_weight_}, dnorm, dbranch, a.norm2);
  // 5. the feed-forward's input
  rmsnorm_backward(dx, norm_gradient(g.post_norm), dnorm, a.h, w.post_norm, a.rstd2);
  // 4. h = x + Wo attention
  convert_branch(a.attention_output, a.attention_output_rstd, w.attention_output_norm, g.attention_output_norm);
  linear_backward_input(dattention, dbranch, w.attention_out);
  linear_backward_weight(g.attention_out, dbranch, a.attention);
  if (lora_) lora_->backward(layer, LoraSite::attention_out, dattention, dbranch, a.attention);
  // 3. attention
  attention_backward(dqkv, dattention, a.qkv, a.attention, a.lse, sized(document_starts_, n),
                     attention_shape(config_, batch));
  // 2. queries, keys, values, and their positions
  rope_backward(dqkv, rope_table_, sized(positions_, n), rotated);
  if (!g.qkv_bias.empty()) bias_backward(g.qkv_bias, dqkv);
  linear_backward_input(dnorm, dqkv, w.qkv);
  linear_backward_weight(g.qkv, dqkv, a.norm1);
  if (lora_) lora_->backward(layer, LoraSite::qkv, dnorm, dqkv, a.norm1);
  // 1. attention's input
  rmsnorm_backward(dx, norm_gradient(g.input_norm), dnorm, a.x, w.input_norm, a.rstd1);
}

}  // namespace starling

#include "model/feed_forward.h"

#include <algorithm>

#include "ops/elementwise.h"
#include "ops/expert_rows.h"
#include "ops/linear.h"
#include "ops/router.h"
#include "ops/swiglu.h"

namespace starling {
namespace {

class DenseFeedForward : public FeedForward {
 public:
  DenseFeedForward(const ModelConfig& config, DType compute, int64_t max_tokens, bool recompute, Arena& arena) {
    const int64_t N = max_tokens, F = config.intermediate_size;
    const auto allocate = [&] {
      return Activations{arena.allocate(compute, {N, 2 * F}), arena.allocate(compute, {N, F})};
    };
    for (int64_t layer = 0; layer < config.num_layers; ++layer)
      blocks_.push_back(recompute && layer > 0 ? blocks_.front() : allocate());
    gradients_ = allocate();
  }

  void forward(const Block& b, Tensor y, ConstTensor x) override {
    const Activations a = cut(blocks_[static_cast<size_t>(b.layer)], x.extent(0));
    const FeedForwardViews<ConstTensor>& w = b.w.feed_forwards.front();
    linear_forward(a.gate_up, x, w.gate_up);
    if (b.lora) b.lora->forward(b.layer, LoraSite::gate_up, a.gate_up, x);
    swiglu_forward(a.swiglu, a.gate_up);
    linear_forward(y, a.swiglu, w.down, Accumulate::yes);
    if (b.lora) b.lora->forward(b.layer, LoraSite::down, y, a.swiglu);
  }

  void backward(const Block& b, Tensor dx, ConstTensor dy, ConstTensor x) override {
    const Activations a = cut(blocks_[static_cast<size_t>(b.layer)], x.extent(0)), d = cut(gradients_, x.extent(0));
    const FeedForwardViews<ConstTensor>& w = b.w.feed_forwards.front();
    const FeedForwardViews<Tensor>& g = b.g.feed_forwards.front();
    linear_backward_input(d.swiglu, dy, w.down);
    linear_backward_weight(g.down, dy, a.swiglu);
    if (b.lora) b.lora->backward(b.layer, LoraSite::down, d.swiglu, dy, a.swiglu);
    swiglu_backward(d.gate_up, d.swiglu, a.gate_up);
    linear_backward_input(dx, d.gate_up, w.gate_up);
    linear_backward_weight(g.gate_up, d.gate_up, x);
    if (b.lora) b.lora->backward(b.layer, LoraSite::gate_up, dx, d.gate_up, x);
  }

 private:
  struct Activations {
    Tensor gate_up, swiglu;
  };
  static Activations cut(const Activations& a, int64_t n) { return {a.gate_up.rows(0, n), a.swiglu.rows(0, n)}; }

  std::vector<Activations> blocks_;
  Activations gradients_;
};

// Rows as in ops/expert_rows.h: each expert's tokens are one matrix, and one product a matrix of the expert.
class MixtureOfExperts : public FeedForward {
 public:
  MixtureOfExperts(const ModelConfig& config, DType compute, int64_t max_tokens, bool recompute, Arena& arena) {
    const int64_t N = max_tokens, C = config.hidden_size, E = config.num_experts, K = config.experts_per_token;
    const int64_t F = config.intermediate_size, rows = N * K;
    if (config.is_grok1()) gate_ = Gate::gelu, weights_ = ExpertWeights::probabilities;
    const auto allocate = [&](DType type, int64_t count, int64_t columns) {
      return arena.allocate(type, {count, columns});
    };
    for (int64_t layer = 0; layer < config.num_layers; ++layer) {
      if (recompute && layer > 0) blocks_.push_back(blocks_.front());
      else
        blocks_.push_back({allocate(DType::f32, N, E), allocate(DType::f32, N, K), allocate(DType::i32, N, K),
                           allocate(DType::i32, N, K), allocate(compute, rows, 2 * F), allocate(compute, rows, F),
                           allocate(compute, rows, C)});
      loads_.push_back(arena.allocate(DType::i32, {E}));
    }
    imbalances_.resize(loads_.size());
    logits_ = allocate(DType::f32, N, E), low_logits_ = allocate(compute, N, E), dw_ = allocate(DType::f32, N, K);
    input_ = allocate(compute, rows, C), drows_ = allocate(compute, rows, C), dx_ = allocate(DType::f32, N, C);
    dgate_up_ = allocate(compute, rows, 2 * F), dswiglu_ = allocate(compute, rows, F);
  }

  void forward(const Block& b, Tensor y, ConstTensor x) override {
    const int64_t n = x.extent(0);
    const auto layer = static_cast<size_t>(b.layer);
    const Activations a = cut(blocks_[layer], n);
    // 1. the router chooses
    const Tensor logits = logits_.rows(0, n), load = loads_[layer];
    linear_forward(logits, x, b.w.router);
    router_forward(a.p, a.w, a.chosen, logits, weights_);
    sort_expert_rows(a.rows, load, a.chosen);
    imbalances_[layer] = router_imbalance(a.p, load);
    // 2. each expert's feed-forward of its tokens
    const Tensor input = input_.rows(0, a.gate_up.extent(0));
    gather_expert_rows(input, x, a.rows);
    for_each_expert(
        load, [&](size_t e, auto part) { linear_forward(part(a.gate_up), part(input), b.w.feed_forwards[e].gate_up); });
    swiglu_forward(a.swiglu, a.gate_up, gate_);
    for_each_expert(
        load, [&](size_t e, auto part) { linear_forward(part(a.output), part(a.swiglu), b.w.feed_forwards[e].down); });
    // 3. their weighted sum
    combine_expert_rows(y, a.output, a.rows, a.w);
  }

  void backward(const Block& b, Tensor dx, ConstTensor dy, ConstTensor x) override {
    const int64_t n = x.extent(0);
    const Activations a = cut(blocks_[static_cast<size_t>(b.layer)], n);
    const Tensor load = loads_[static_cast<size_t>(b.layer)], dw = dw_.rows(0, n), dsum = dx_.rows(0, n);
    const int64_t rows = a.gate_up.extent(0);
    const Tensor drows = drows_.rows(0, rows), input = input_.rows(0, rows);
    const Tensor dgate_up = dgate_up_.rows(0, rows), dswiglu = dswiglu_.rows(0, rows);
    // 3. the weighted sum
    combine_expert_rows_backward(drows, dw, dy, a.output, a.rows, a.w);
    // 2. each expert's feed-forward of its tokens
    for_each_expert(load, [&](size_t e, auto part) {
      linear_backward_input(part(dswiglu), part(drows), b.w.feed_forwards[e].down);
      linear_backward_weight(b.g.feed_forwards[e].down, part(drows), part(a.swiglu));
    });
    swiglu_backward(dgate_up, dswiglu, a.gate_up, gate_);
    gather_expert_rows(input, x, a.rows);
    for_each_expert(load, [&](size_t e, auto part) {
      linear_backward_input(part(drows), part(dgate_up), b.w.feed_forwards[e].gate_up);
      linear_backward_weight(b.g.feed_forwards[e].gate_up, part(dgate_up), part(input));
    });
    // 1. the router
    const Tensor dlogits = logits_.rows(0, n), low = low_logits_.rows(0, n);
    router_backward(dlogits, dw, a.p, a.w, a.chosen, load, weights_, b.imbalance_weight);
    convert(low, dlogits);
    linear_backward_weight(b.g.router, low, x);
    linear_backward_input(dsum, low, b.w.router);
    gather_expert_rows_backward(dsum, drows, a.rows);
    convert(dx, dsum);
  }

  std::vector<ExpertLoad> expert_loads() const override {
    std::vector<ExpertLoad> loads;
    for (size_t layer = 0; layer < loads_.size(); ++layer) {
      const int32_t* tokens = loads_[layer].as<int32_t>();
      loads.push_back({{tokens, tokens + loads_[layer].extent(0)}, imbalances_[layer]});
    }
    return loads;
  }

 private:
  struct Activations {
    Tensor p, w, chosen, rows;       // of the tokens: ops/router.h, ops/expert_rows.h
    Tensor gate_up, swiglu, output;  // of the rows
  };
  static Activations cut(const Activations& a, int64_t n) {
    const int64_t rows = n * a.w.extent(1);
    return {a.p.rows(0, n),          a.w.rows(0, n),         a.chosen.rows(0, n),   a.rows.rows(0, n),
            a.gate_up.rows(0, rows), a.swiglu.rows(0, rows), a.output.rows(0, rows)};
  }
  // body(e, part) of every expert that has tokens; part(matrix) are its rows.
  template <class Body>
  static void for_each_expert(ConstTensor load, const Body& body) {
    int64_t first = 0;
    for (int64_t e = 0; e < load.extent(0); ++e) {
      const int64_t count = load.as<int32_t>()[e];
      if (count > 0) body(static_cast<size_t>(e), [first, count](Tensor t) { return t.rows(first, count); });
      first += count;
    }
  }

  Gate gate_ = Gate::silu;
  ExpertWeights weights_ = ExpertWeights::shares;
  std::vector<Activations> blocks_;
  std::vector<Tensor> loads_;
  std::vector<double> imbalances_;
  Tensor logits_, low_logits_, dw_, dx_;       // of the tokens
  Tensor input_, drows_, dgate_up_, dswiglu_;  // of the rows
};

}  // namespace

double ExpertLoad::largest_share() const {
  int64_t sum = 0, largest = 0;
  for (int64_t count : tokens) sum += count, largest = std::max(largest, count);
  return sum == 0 ? 0.0 : static_cast<double>(largest) / static_cast<double>(sum);
}

std::unique_ptr<FeedForward> make_feed_forward(const ModelConfig& config, DType compute, int64_t max_tokens,
                                               bool recompute, Arena& arena) {
  if (config.num_experts > 0) return std::make_unique<MixtureOfExperts>(config, compute, max_tokens, recompute, arena);
  return std::make_unique<DenseFeedForward>(config, compute, max_tokens, recompute, arena);
}

}  // namespace starling

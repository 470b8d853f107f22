// The feed-forward of the blocks (F in model/config.h) for training: one for all tokens, or a mixture of experts.
// Activations of a block are kept from its forward to its backward pass; under recomputation the blocks share them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/config.h"
#include "model/lora.h"
#include "model/parameters.h"
#include "tensor/buffer.h"

namespace starling {

// How a block's router spread the tokens of a pass.
struct ExpertLoad {
  std::vector<int32_t> tokens;   // that chose each expert; they add up to N K
  double imbalance = 0;          // ops/router.h
  double largest_share() const;  // that one expert took of the N K; 1 / E when even
};

class FeedForward {
 public:
  struct Block {
    int64_t layer = 0;
    BlockViews<ConstTensor> w;
    BlockViews<Tensor> g;        // of backward; views that are not trained are empty
    Lora* lora = nullptr;        // beside a dense feed-forward alone
    float imbalance_weight = 0;  // backward adds the gradient of this times the router's imbalance
  };
  virtual ~FeedForward() = default;
  // y [N,C] f32 += F(x), x [N,C] in the compute type.
  virtual void forward(const Block& block, Tensor y, ConstTensor x) = 0;
  // dx [N,C] and the gradients of the block's matrices from dy [N,C], all in the compute type, after forward of x.
  virtual void backward(const Block& block, Tensor dx, ConstTensor dy, ConstTensor x) = 0;
  // Of the last forward pass, one a block; none without experts.
  virtual std::vector<ExpertLoad> expert_loads() const { return {}; }
};

// For up to `max_tokens`, in memory of `arena`, which must outlive it.
std::unique_ptr<FeedForward> make_feed_forward(const ModelConfig& config, DType compute, int64_t max_tokens,
                                               bool recompute, Arena& arena);

}  // namespace starling

// One optimizer step over all parameters: Muon for the matrices of the blocks and AdamW for the rest, or AdamW for all.
#pragma once

#include <cstdint>
#include <vector>

#include "model/parameters.h"
#include "ops/muon.h"
#include "tensor/buffer.h"

namespace starling {

struct OptimizerStep {
  int64_t step = 1;                   // from 1
  float learning_rate = 0;            // matrices of the blocks
  float embedding_learning_rate = 0;  // embedding, head, norms
  float weight_decay = 0;             // of matrices of the blocks
  float gradient_scale = 1;           // clipping
};

class Optimizer {
 public:
  Optimizer(Parameters& parameters, bool muon);

  void step(const OptimizerStep& step);  // from parameters.gradients(); refreshes the compute copy

  // The moments, for checkpoints: [all] f32 each; `second` holds nothing for a parameter under Muon.
  Tensor first_moment() const { return first_.tensor(); }
  Tensor second_moment() const { return second_.tensor(); }

 private:
  struct Slot {
    size_t parameter;
    int64_t second_offset;  // -1: Muon
    bool in_block;
  };
  Parameters& parameters_;
  std::vector<Slot> slots_;
  Buffer first_, second_;
};

}  // namespace starling

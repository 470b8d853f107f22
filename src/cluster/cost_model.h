// What one training step of a layout needs: bytes on the fullest GPU and seconds. docs/planner.md derives the formulas.
//
// Legend: b sequences of a micro-batch, s tokens of a sequence, h hidden size, f width of the feed-forward layer,
// a attention heads, L layers, t tensor, p pipeline, d data parallel size, m micro-batches a step and replica; of a
// mixture E experts of width f, k a token, e expert parallel size.
// Sources: Korthikanti et al. 2022, arXiv:2205.05198 (activation memory, sequence parallelism, selective
// recomputation); Narayanan et al. 2021, arXiv:2104.04473 (pipeline schedules); Rajbhandari et al. 2020,
// arXiv:1910.02054 (ZeRO); Lepikhin et al. 2020, arXiv:2006.16668 (experts on different devices).
#pragma once

#include <cstdint>
#include <string_view>

#include "cluster/hardware.h"
#include "model/config.h"

namespace starling {

enum class Recompute { kNone, kSelective, kFull };  // selective: the attention scores only
std::string_view recompute_name(Recompute recompute);

// A training job, apart from how it is laid out.
struct Workload {
  ModelConfig model;  // of a model without a gated MLP: intermediate_size = 2/3 of its width
  bool gated_mlp = true;
  int64_t shared_expert_width = 0;   // a feed-forward beside the experts that every token passes
  double low_precision_speedup = 1;  // of matrix products: FP8's peak over bf16's
  bool flash_attention = true;       // scores never reach memory, and only the causal half is computed
  int64_t sequence_tokens = 4096;    // s
  double batch_sequences = 1024;     // of one step, all replicas together

  double mlp_width() const;  // f
  // Widths of the feed-forwards that one token passes, together.
  double active_mlp_width() const;
};

struct Layout {
  int64_t tensor_parallel = 1;
  bool sequence_parallel = true;  // splits what tensor parallelism leaves whole
  int64_t pipeline_parallel = 1;
  int64_t virtual_stages = 1;  // interleaved pipeline: model chunks a GPU
  int64_t data_parallel = 1;
  int64_t expert_parallel = 1;  // replicas that share out the experts and send each other tokens; divides d
  int64_t zero_stage = 1;       // 0 nothing, 1 optimizer, 3 everything is split over the replicas
  int64_t micro_batch = 1;      // b
  Recompute recompute = Recompute::kNone;

  int64_t gpus() const { return tensor_parallel * pipeline_parallel * data_parallel; }
  double micro_batches(const Workload& work) const {
    return work.batch_sequences / static_cast<double>(data_parallel * micro_batch);
  }
};

// Bytes on the first pipeline stage, the fullest.
struct MemoryUse {
  double weights = 0, gradients = 0, optimizer = 0, activations = 0;
  double workspace = 0;  // buffers of the communication and matrix libraries
  double total() const { return weights + gradients + optimizer + activations + workspace; }
};
MemoryUse memory_use(const Workload& work, const Layout& layout);

// Seconds of one step; the parts add up to the total.
struct StepTime {
  double compute = 0;          // matrix products and element-wise kernels
  double recompute = 0;        // done again in the backward pass
  double tensor_parallel = 0;  // its collectives, not hidden
  double expert_parallel = 0;  // tokens to their experts and back, not hidden
  double pipeline = 0;         // bubble and transfers between stages
  double data_parallel = 0;    // its collectives beyond what the backward pass hides
  double optimizer = 0;
  double total() const {
    return compute + recompute + tensor_parallel + expert_parallel + pipeline + data_parallel + optimizer;
  }
};
StepTime step_time(const Workload& work, const Layout& layout, const Gpu& gpu);

}  // namespace starling

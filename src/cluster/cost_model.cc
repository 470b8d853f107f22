#include "cluster/cost_model.h"

#include <algorithm>
#include <cmath>

namespace starling {
namespace {

// Fitted to published step times; docs/planner.md says how and with what error.
constexpr double kMatmulEfficiency = 0.786;       // of peak, for large products
constexpr double kHalfRows = 218;                 // rows at which a product reaches half of it
constexpr double kHalfColumns = 359;              // the same for columns and for the inner dimension
constexpr double kScoreEfficiency = 0.787;        // of peak, for the two products of unfused attention
constexpr double kFlashEfficiency = 0.322;        // of peak, for fused attention (Dao et al. 2022, arXiv:2205.14135)
constexpr double kElementwiseTraffic = 0.792;     // fusion saves this much of the bytes counted below
constexpr double kLaunchSeconds = 8.88e-4;        // a layer's forward pass, however small: the CPU launches its kernels
constexpr double kMixtureLaunchSeconds = 2.2e-3;  // the same with a mixture of experts
constexpr double kStepOverheadSeconds = 0.0054;
constexpr double kLinkEfficiency = 0.7625;  // of NVLink, in collectives
constexpr double kNetworkEfficiency = 0.731;
constexpr double kLatencySeconds = 1.5e-5;       // of a collective, times log2 of its members
constexpr double kHiddenTensorParallel = 0.727;  // share of the backward pass's collectives that products hide
constexpr double kHiddenDataParallel = 0.144;    // share of the gradient exchange that the backward pass hides
constexpr double kHiddenZero3 = 0.849;           // share of the compute time under which ZeRO-3 can gather weights
constexpr double kHiddenExpertParallel = 0.2;    // share of the exchange with experts elsewhere that products hide
constexpr double kOptimizerEfficiency = 0.95;    // of HBM bandwidth
constexpr double kAdamBytesPerParameter = 32;    // reads g, m, v, master; writes m, v, master, weight

// Bytes moved by element-wise kernels, per token and layer (norms, residuals, dropout; activation; rotary and biases).
constexpr double kTrafficPerHidden = 26, kTrafficPerWidth = 6, kTrafficPerAttention = 10, kTrafficPerScore = 11;
constexpr double kTrafficPerExpert = 36;  // per hidden and expert of a token: sorted before, weighted and summed after

constexpr double kWorkspaceBytes = 3e9;  // CUDA context, NCCL and cuBLAS buffers

// Seconds to gather or reduce-scatter `bytes` among `members`.
double collective_s(double bytes, double members, double bytes_per_s) {
  if (members <= 1 || bytes == 0) return 0;
  return bytes * (members - 1) / members / bytes_per_s + kLatencySeconds * std::log2(members);
}

struct GpuParameters {
  double dense = 0, experts = 0;  // the latter split over the replicas of expert parallelism too
  double total() const { return dense + experts; }
  double per_replica(const Layout& layout) const {  // where ZeRO splits them over the replicas that hold the same ones
    const auto d = static_cast<double>(layout.data_parallel);
    return dense / d + experts * static_cast<double>(layout.expert_parallel) / d;
  }
};

// The stage with the embedding: its share of the layers, and the embedding, cut by tensor parallelism. With one stage
// that is also the last, an untied head comes on top.
GpuParameters parameters_per_gpu(const Workload& work, const Layout& layout) {
  const ModelConfig& model = work.model;
  const double h = static_cast<double>(model.hidden_size), layers = static_cast<double>(model.num_layers);
  const double t = static_cast<double>(layout.tensor_parallel), p = static_cast<double>(layout.pipeline_parallel);
  const double embedding = static_cast<double>(model.vocab_size) * h;
  const double tables = layout.pipeline_parallel == 1 && !model.tied_head ? 2 * embedding : embedding;
  const double experts = 3 * layers * h * static_cast<double>(model.num_experts * model.intermediate_size);
  const double shared = 3 * layers * h * static_cast<double>(work.shared_expert_width);
  const double blocks = static_cast<double>(model.matrix_parameter_count()) - embedding - experts + shared;
  return {.dense = (blocks / p + tables) / t,
          .experts = experts / (p * t * static_cast<double>(layout.expert_parallel))};
}

class StepModel {
 public:
  StepModel(const Workload& work, const Layout& layout, const Gpu& gpu)
      : work_(work),
        layout_(layout),
        gpu_(gpu),
        h_(static_cast<double>(work.model.hidden_size)),
        q_(static_cast<double>(work.model.query_size())),
        f_(work.mlp_width()),
        t_(static_cast<double>(layout.tensor_parallel)),
        p_(static_cast<double>(layout.pipeline_parallel)),
        d_(static_cast<double>(layout.data_parallel)),
        e_(static_cast<double>(layout.expert_parallel)),
        rows_(static_cast<double>(layout.micro_batch * work.sequence_tokens)),
        micro_batches_(std::max(1.0, layout.micro_batches(work))),
        layers_(static_cast<double>(work.model.num_layers) / p_),
        parameters_(parameters_per_gpu(work, layout)) {}

  StepTime step() const {
    const double launch = work_.model.num_experts > 0 ? kMixtureLaunchSeconds : kLaunchSeconds;
    const double forward = std::max(products_s() + attention_s() + elementwise_s(), launch);
    const double backward_work = 2 * products_s() + backward_attention() * attention_s() + 2 * elementwise_s();
    const double backward = std::max(backward_work, 1.7 * launch);
    const double again = recompute_s(forward);
    const double collectives = tensor_parallel_s(), exchange = expert_exchange_s();
    const double stage = layers_ * (forward + backward + again + collectives + exchange);
    const double head = head_s();

    StepTime time;
    time.compute = micro_batches_ * (layers_ * (forward + backward) + head) + kStepOverheadSeconds;
    time.recompute = micro_batches_ * layers_ * again;
    time.tensor_parallel = micro_batches_ * layers_ * collectives;
    time.expert_parallel = micro_batches_ * layers_ * exchange;
    time.pipeline = bubble_s(stage, head) + transfers_s();
    time.data_parallel = data_parallel_s(micro_batches_ * (stage + head));
    time.optimizer = optimizer_s();
    return time;
  }

 private:
  // Small dimensions leave the tensor cores waiting.
  double product_s(double m, double n, double k) const {
    const double filled = m / (m + kHalfRows) * n / (n + kHalfColumns) * k / (k + kHalfColumns);
    const double peak = gpu_.peak_bf16_flops * gpu_.sustained_clock * work_.low_precision_speedup;
    return 2 * m * n * k / (peak * kMatmulEfficiency * filled);
  }

  double products_s() const {  // of a layer's forward pass
    const double qkv = q_ + 2 * static_cast<double>(work_.model.kv_size());
    return product_s(rows_, qkv / t_, h_) + product_s(rows_, h_, q_ / t_) + feed_forward_s();
  }

  double feed_forward_s(double rows, double width) const {
    return product_s(rows, (work_.gated_mlp ? 2 : 1) * width / t_, h_) + product_s(rows, h_, width / t_);
  }
  // Tokens are taken to be spread evenly: each of a GPU's E / e experts gets k / E of the tokens of e replicas.
  double feed_forward_s() const {
    if (work_.model.num_experts == 0) return feed_forward_s(rows_, f_);
    const double experts = static_cast<double>(work_.model.num_experts);
    const double rows = rows_ * e_ * static_cast<double>(work_.model.experts_per_token) / experts;
    const double shared = static_cast<double>(work_.shared_expert_width);
    return experts / e_ * feed_forward_s(rows, f_) + (shared > 0 ? feed_forward_s(rows_, shared) : 0);
  }

  double attention_s() const {
    const double s = static_cast<double>(work_.sequence_tokens), flops = 4 * rows_ * s * q_ / t_;
    const double peak = gpu_.peak_bf16_flops * gpu_.sustained_clock;
    if (work_.flash_attention) return flops / 2 / (peak * kFlashEfficiency);
    return flops / (peak * kScoreEfficiency);
  }
  double backward_attention() const { return work_.flash_attention ? 2.5 : 2; }

  double score_traffic_s() const {
    if (work_.flash_attention) return 0;
    const double scores = rows_ * static_cast<double>(work_.model.num_heads * work_.sequence_tokens) / t_;
    return kElementwiseTraffic * kTrafficPerScore * scores / gpu_.memory_bytes_per_s;
  }

  double elementwise_s() const {
    const double width = (work_.gated_mlp ? 2 : 1) * work_.active_mlp_width();
    const double whole = layout_.sequence_parallel ? h_ / t_ : h_;
    const double sorted = kTrafficPerExpert * static_cast<double>(work_.model.experts_per_token) * h_;
    const double bytes = rows_ * (kTrafficPerHidden * whole + kTrafficPerWidth * width / t_ +
                                  kTrafficPerAttention * q_ / t_ + sorted / t_);
    return kElementwiseTraffic * bytes / gpu_.memory_bytes_per_s + score_traffic_s();
  }

  double recompute_s(double forward) const {
    if (layout_.recompute == Recompute::kFull) return forward;
    if (layout_.recompute == Recompute::kNone || work_.flash_attention) return 0;
    return attention_s() + score_traffic_s();
  }

  // Two all-reduces a pass (or as many pairs of gather and scatter), again where the forward pass is done again.
  double tensor_parallel_s() const {
    const double all_reduce = 2 * collective_s(2 * rows_ * h_, t_, group_bytes_per_s(t_));
    const double passes = 1 + (1 - kHiddenTensorParallel) + (layout_.recompute == Recompute::kFull ? 1 : 0);
    return 2 * all_reduce * passes;
  }

  // A token's hidden state goes to its experts and comes back, in the forward and in the backward pass, and once more
  // where the layer is done again. Over the network it goes once to each node that has one of them, and from there to
  // the experts by the links within (DeepSeek-AI 2024, arXiv:2412.19437, section 3.2.2), both at the same time.
  double expert_exchange_s() const {
    if (layout_.expert_parallel == 1) return 0;
    const double node = std::max(1.0, static_cast<double>(gpu_.gpus_per_node) / t_), local = std::min(e_, node);
    const double nodes = std::max(1.0, e_ / node), k = static_cast<double>(work_.model.experts_per_token);
    const double remote = (nodes - 1) * (1 - std::pow(1 - 1 / nodes, k));  // nodes that a token is sent to
    const double bytes = 2 * rows_ * h_ / t_;
    const double network = bytes * remote / (gpu_.network_bytes_per_s * kNetworkEfficiency);
    const double links = bytes * k * (local - 1) / local / (gpu_.link_bytes_per_s * kLinkEfficiency);
    const double passes = layout_.recompute == Recompute::kFull ? 3 : 2;
    return (1 - kHiddenExpertParallel) * 2 * passes * (std::max(network, links) + kLatencySeconds * std::log2(e_));
  }

  double head_s() const {
    const double vocabulary = static_cast<double>(work_.model.vocab_size) / t_;
    const double logits_traffic = kElementwiseTraffic * 17 * rows_ * vocabulary / gpu_.memory_bytes_per_s;
    return 3 * product_s(rows_, vocabulary, h_) + logits_traffic;
  }

  double bubble_s(double stage, double head) const {
    return (p_ - 1) / static_cast<double>(layout_.virtual_stages) * (stage + head / p_);
  }

  // A boundary's activations forward and gradients back; half of them wait for nothing. Tensor-parallel ranks send a
  // share each.
  double transfers_s() const {
    if (layout_.pipeline_parallel == 1) return 0;
    const double bytes = 2 * rows_ * h_ / t_,
                 count = 0.5 * micro_batches_ * static_cast<double>(layout_.virtual_stages) + p_ - 1;
    return count * bytes / group_bytes_per_s(t_ * p_);
  }

  double data_parallel_s(double compute) const {
    const double bandwidth = group_bytes_per_s(t_ * d_);  // gather or reduce-scatter
    const double half =
        collective_s(2 * parameters_.dense, d_, bandwidth) + collective_s(2 * parameters_.experts, d_ / e_, bandwidth);
    if (layout_.zero_stage < 3) return 2 * half * (1 - kHiddenDataParallel);
    const double total = 3 * half * micro_batches_, hidden = std::min(total, kHiddenZero3 * compute);
    return total - 0.9 * hidden;
  }

  double optimizer_s() const {
    const double share = layout_.zero_stage >= 1 ? parameters_.per_replica(layout_) : parameters_.total();
    return share * kAdamBytesPerParameter / (gpu_.memory_bytes_per_s * kOptimizerEfficiency);
  }

  // The slowest link inside a group of this many GPUs placed side by side.
  double group_bytes_per_s(double members) const {
    return members <= static_cast<double>(gpu_.gpus_per_node) ? gpu_.link_bytes_per_s * kLinkEfficiency
                                                              : gpu_.network_bytes_per_s * kNetworkEfficiency;
  }

  const Workload& work_;
  const Layout& layout_;
  const Gpu& gpu_;
  double h_, q_, f_, t_, p_, d_, e_, rows_, micro_batches_, layers_;
  GpuParameters parameters_;
};

// Bytes of one layer's activations of one micro-batch; Korthikanti et al. 2022, equations 1-6 and table 2.
double layer_activation_bytes(const Workload& work, const Layout& layout) {
  const double h = static_cast<double>(work.model.hidden_size), s = static_cast<double>(work.sequence_tokens);
  const double t = static_cast<double>(layout.tensor_parallel);
  const double tokens = s * static_cast<double>(layout.micro_batch);
  const double split = layout.sequence_parallel ? t : 1;
  if (layout.recompute == Recompute::kFull) return 2 * tokens * h / split;  // the layer's input only
  // Kept whole: inputs of attention, MLP and both norms (2 bytes each); GPT models add two dropout masks (1 byte each).
  const double whole = work.gated_mlp ? 8 * h : 10 * h;
  // Split: query, attention output (2 h each), key and value, and the MLP's inner values: gate, up and their product
  // (2 f each), or the inputs of GeLU and of the second matrix (2 f each).
  const double inner = (work.gated_mlp ? 6 : 4) * work.active_mlp_width();
  // Of a mixture also what goes into the experts and what comes back, a copy for each that the token passes.
  const double copies = 4 * h * static_cast<double>(work.model.experts_per_token);
  const double cut =
      copies + 4 * static_cast<double>(work.model.query_size()) + 4 * static_cast<double>(work.model.kv_size()) + inner;
  const bool scores = !work.flash_attention && layout.recompute == Recompute::kNone;
  const double score_bytes = scores ? 5 * static_cast<double>(work.model.num_heads) * s : 0;
  return tokens * (whole / split + (cut + score_bytes) / t);
}

}  // namespace

std::string_view recompute_name(Recompute recompute) {
  switch (recompute) {
    case Recompute::kNone:
      return "none";
    case Recompute::kSelective:
      return "selective";
    case Recompute::kFull:
      return "full";
  }
  return "";
}

double Workload::mlp_width() const {
  const double width = static_cast<double>(model.intermediate_size);
  return gated_mlp ? width : width * 3 / 2;
}

double Workload::active_mlp_width() const {
  if (model.num_experts == 0) return mlp_width();
  return mlp_width() * static_cast<double>(model.experts_per_token) + static_cast<double>(shared_expert_width);
}

MemoryUse memory_use(const Workload& work, const Layout& layout) {
  const GpuParameters all = parameters_per_gpu(work, layout);
  const double whole = all.total(), split = all.per_replica(layout);
  const double p = static_cast<double>(layout.pipeline_parallel), v = static_cast<double>(layout.virtual_stages);
  MemoryUse use;
  use.weights = 2 * (layout.zero_stage >= 3 ? split : whole);     // bf16
  use.gradients = 4 * (layout.zero_stage >= 3 ? split : whole);   // f32
  use.optimizer = 12 * (layout.zero_stage >= 1 ? split : whole);  // f32 master weights and two moments
  // The first stage holds the activations of as many micro-batches as fit in the pipeline: p, a little more
  // interleaved.
  const double in_flight = std::min(p, std::max(1.0, layout.micro_batches(work))) * (v > 1 ? 1 + (p - 1) / (p * v) : 1);
  const double layers = static_cast<double>(work.model.num_layers) / p;
  use.activations = layers * in_flight * layer_activation_bytes(work, layout);
  // One layer at a time is made again in full; its parts live only then.
  Layout whole_layer = layout;
  whole_layer.recompute = Recompute::kNone;
  if (layout.recompute == Recompute::kFull) use.activations += layer_activation_bytes(work, whole_layer);
  const double tokens = static_cast<double>(layout.micro_batch * work.sequence_tokens);
  const double logits =
      6 * tokens * static_cast<double>(work.model.vocab_size) / static_cast<double>(layout.tensor_parallel);
  if (layout.pipeline_parallel == 1) use.activations += logits;  // bf16 and f32
  use.workspace = kWorkspaceBytes;
  if (layout.zero_stage >= 3) use.workspace += 2 * 2 * whole / layers;  // two layers gathered
  return use;
}

StepTime step_time(const Workload& work, const Layout& layout, const Gpu& gpu) {
  return StepModel(work, layout, gpu).step();
}

}  // namespace starling

#include "cluster/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "cluster/model_presets.h"
#include "core/error.h"

namespace starling {
namespace {

constexpr double kUsableMemory = 0.94;          // the rest is lost to fragmentation
constexpr double kLargestBatchExcess = 1.25;    // a step may be this much larger than asked to fill the layout
constexpr double kFacilityOverhead = 1.2;       // power usage effectiveness: hyperscale fleets 1.08, survey mean 1.54
constexpr double kElectricityUsdPerKwh = 0.07;  // US industrial, 2023
constexpr double kInterruptionsPerGpuHour = 419 / (54 * 24 * 16384.0);  // Llama 3, arXiv:2407.21783, table 5
constexpr double kTensOfMillionsUsd = 99e6;
constexpr double kSecondsPerDay = 86400, kSecondsPerHour = 3600;

void check_range(const char* what, double value, double low, double high) {
  if (!(value >= low && value <= high)) {
    throw ConfigError(fmt::format("{} = {:g} must be from {:g} to {:g}", what, value, low, high));
  }
}

PlanRequest resolved(PlanRequest request, const ModelPreset& preset) {
  check_range("gpus", static_cast<double>(request.gpus), 1, 1e6);
  check_range("tokens", request.tokens, 1, 1e18);
  if (request.sequence_tokens == 0) request.sequence_tokens = preset.sequence_tokens;
  check_range("sequence_tokens", static_cast<double>(request.sequence_tokens), 1, 1e6);
  if (request.batch_tokens == 0) request.batch_tokens = preset.batch_tokens;
  check_range("batch_tokens", request.batch_tokens, static_cast<double>(request.sequence_tokens), 1e9);
  check_range("tensor_parallel", request.tensor_parallel, 0, 1024);
  check_range("pipeline_parallel", request.pipeline_parallel, 0, 1024);
  check_range("micro_batch", request.micro_batch, 0, 1024);
  return request;
}

std::vector<int64_t> choices(int64_t asked, std::initializer_list<int64_t> otherwise) {
  return asked > 0 ? std::vector<int64_t>{asked} : std::vector<int64_t>(otherwise);
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Candidate {
  Layout layout;
  double batch_sequences = 0;
  StepTime step;
  double seconds_per_sequence() const { return step.total() / batch_sequences; }
};

// Tries every layout that divides the model and keeps the fastest of those that fit the memory.
class LayoutSearch {
 public:
  LayoutSearch(const PlanRequest& request, const ModelPreset& preset, const Gpu& gpu)
      : request_(request),
        gpu_(gpu),
        work_{.model = preset.config, .gated_mlp = preset.gated_mlp, .sequence_tokens = request.sequence_tokens} {}

  Workload workload(const Candidate& candidate) const {
    Workload work = work_;
    work.batch_sequences = candidate.batch_sequences;
    return work;
  }

  Candidate best() {
    for (const int64_t t : choices(request_.tensor_parallel, {1, 2, 4, 8})) {
      for (const int64_t p : choices(request_.pipeline_parallel, {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32})) {
        if (divides_model(t, p)) try_groups(t, p);
      }
    }
    if (best_) return *best_;
    throw ConfigError(fmt::format(
        "no layout of {} fits {} GPUs of {:.0f} GB with batches of {:g} tokens{}; give more GPUs, GPUs with more "
        "memory, or free the parallel sizes",
        request_.model, request_.gpus, gpu_.memory_bytes / 1e9, request_.batch_tokens,
        least_memory_ > 0 ? fmt::format(" (the least needed is {:.1f} GB a GPU)", least_memory_ / 1e9) : ""));
  }

 private:
  bool divides_model(int64_t t, int64_t p) const {
    const ModelConfig& model = work_.model;
    return model.num_heads % t == 0 && model.num_kv_heads % t == 0 && model.intermediate_size % t == 0 &&
           t <= gpu_.gpus_per_node && model.num_layers % p == 0 && t * p <= request_.gpus;
  }

  void try_groups(int64_t t, int64_t p) {
    const auto asked =
        static_cast<int64_t>(std::ceil(request_.batch_tokens / static_cast<double>(request_.sequence_tokens)));
    const int64_t most_replicas = request_.gpus / (t * p);
    for (const int64_t b : choices(request_.micro_batch, {1, 2, 4, 8})) {
      const int64_t fewest = std::max<int64_t>(1, ceil_div(asked, b * most_replicas));
      for (int64_t m = fewest; m <= fewest + 2 * p; ++m) {
        const int64_t fitting = ceil_div(asked, b * m);  // the replicas that do the batch in m micro-batches
        const auto excess = static_cast<int64_t>(kLargestBatchExcess * static_cast<double>(asked)) / (b * m);
        for (const int64_t d : {fitting, std::min(excess, most_replicas)}) {
          if (d < fitting || d > most_replicas) continue;
          try_expert_sizes({.tensor_parallel = t,
                            .sequence_parallel = t > 1,
                            .pipeline_parallel = p,
                            .data_parallel = d,
                            .micro_batch = b},
                           m);
        }
      }
    }
  }

  // The experts of a mixture over 1, 2, 4, ... replicas, where that divides both.
  void try_expert_sizes(Layout layout, int64_t micro_batches) {
    const int64_t experts = work_.model.num_experts;
    for (int64_t e = 1; e <= std::max<int64_t>(1, experts); e *= 2) {
      if (layout.data_parallel % e != 0 || experts % e != 0) continue;
      layout.expert_parallel = e;
      try_schedules(layout, micro_batches);
    }
  }

  void try_schedules(Layout layout, int64_t micro_batches) {
    const auto batch = static_cast<double>(layout.data_parallel * micro_batches * layout.micro_batch);
    const int64_t p = layout.pipeline_parallel, layers = work_.model.num_layers / p;
    for (const int64_t chunks : {1, 2, 3, 4, 5}) {
      // The interleaved schedule sends micro-batches round in groups of p (Narayanan et al. 2021, section 2.2.2).
      if (chunks > 1 && (p == 1 || layers % chunks != 0 || micro_batches % p != 0)) continue;
      for (const int64_t zero : {1, 3}) {
        if (zero == 3 && p > 1) continue;  // the pieces would be gathered again for every micro-batch
        for (const Recompute recompute : {Recompute::kNone, Recompute::kFull}) {
          layout.virtual_stages = chunks, layout.zero_stage = zero, layout.recompute = recompute;
          consider(layout, batch);
        }
      }
    }
  }

  void consider(const Layout& layout, double batch) {
    Workload work = work_;
    work.batch_sequences = batch;
    const double memory = memory_use(work, layout).total();
    if (least_memory_ == 0 || memory < least_memory_) least_memory_ = memory;
    if (memory > kUsableMemory * gpu_.memory_bytes) return;
    const Candidate candidate{.layout = layout, .batch_sequences = batch, .step = step_time(work, layout, gpu_)};
    if (!best_ || candidate.seconds_per_sequence() < best_->seconds_per_sequence()) best_ = candidate;
  }

  const PlanRequest& request_;
  const Gpu& gpu_;
  Workload work_;
  std::optional<Candidate> best_;
  double least_memory_ = 0;
};

std::string verdict(double total_low_usd, double total_high_usd) {
  if (total_high_usd <= kTensOfMillionsUsd) return "yes";
  if (total_low_usd <= kTensOfMillionsUsd) return "only at the low price";
  return total_low_usd <= 1.05 * kTensOfMillionsUsd ? "just not" : "no";
}

std::vector<Affordability> affordability(int64_t gpus) {
  std::vector<Affordability> rows;
  for (const Gpu& gpu : gpu_catalogue()) {
    if (gpu.price_low_usd == 0) continue;
    Affordability row{.gpu = gpu};
    row.total_low_usd = gpu.price_low_usd * static_cast<double>(gpus);
    row.total_high_usd = gpu.price_high_usd * static_cast<double>(gpus);
    row.verdict = verdict(row.total_low_usd, row.total_high_usd);
    row.gpus_for_99m_usd = static_cast<int64_t>(kTensOfMillionsUsd / gpu.price_low_usd);
    rows.push_back(row);
  }
  return rows;
}

void add_time(Plan& plan, const ModelPreset& preset) {
  const double batch_tokens = plan.batch_sequences * static_cast<double>(plan.request.sequence_tokens);
  const double seconds = plan.step.total();
  plan.train_flops_per_token = preset.config.train_flops_per_token(plan.request.sequence_tokens);
  plan.tokens_per_s = batch_tokens / seconds;
  plan.model_flops_utilization =
      plan.train_flops_per_token * plan.tokens_per_s / (static_cast<double>(plan.gpus_used) * plan.gpu.peak_bf16_flops);
  plan.steps = std::ceil(plan.request.tokens / batch_tokens);
  plan.days = plan.steps * seconds / kSecondsPerDay;
}

// Power and price count every GPU asked for, spares included.
void add_cost(Plan& plan) {
  const double gpus = static_cast<double>(plan.request.gpus), hours = plan.days * kSecondsPerDay / kSecondsPerHour;
  plan.expected_interruptions = kInterruptionsPerGpuHour * gpus * hours;
  plan.megawatts = gpus * plan.gpu.server_watts_per_gpu * kFacilityOverhead / 1e6;
  plan.energy_mwh = plan.megawatts * hours;
  plan.electricity_usd = plan.energy_mwh * 1000 * kElectricityUsdPerKwh;
  plan.purchase_low_usd = gpus * plan.gpu.price_low_usd;
  plan.purchase_high_usd = gpus * plan.gpu.price_high_usd;
  plan.rental_low_usd = gpus * hours * plan.gpu.rental_low_usd_per_hour;
  plan.rental_high_usd = gpus * hours * plan.gpu.rental_high_usd_per_hour;
  plan.affordability = affordability(plan.request.gpus);
}

}  // namespace

Plan plan(const PlanRequest& request) {
  const ModelPreset& preset = find_model_preset(request.model);
  Plan plan{.request = resolved(request, preset), .gpu = find_gpu(request.gpu)};
  LayoutSearch search(plan.request, preset, plan.gpu);
  const Candidate best = search.best();
  plan.parameters = static_cast<double>(preset.config.parameter_count());
  plan.layout = best.layout;
  plan.batch_sequences = best.batch_sequences;
  plan.gpus_used = best.layout.gpus();
  plan.memory = memory_use(search.workload(best), best.layout);
  plan.step = best.step;
  plan.request.batch_tokens = best.batch_sequences * static_cast<double>(plan.request.sequence_tokens);
  plan.request.tensor_parallel = static_cast<int>(best.layout.tensor_parallel);
  plan.request.pipeline_parallel = static_cast<int>(best.layout.pipeline_parallel);
  plan.request.micro_batch = static_cast<int>(best.layout.micro_batch);
  add_time(plan, preset);
  add_cost(plan);
  return plan;
}

}  // namespace starling

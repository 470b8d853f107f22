// Plans a training run on a cluster: which parallel layout fits, how long a step and the run take, what it draws and
// costs. The numbers come from the model's own FLOP and parameter counts (model/config.h) and from a cost model that is
// scored on published measurements (docs/planner.md; `starling plan score`). Pure arithmetic: instant, no device
// needed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/cost_model.h"
#include "cluster/hardware.h"

namespace starling {

// What is asked; the default is the story's cluster. Zero leaves the choice to the planner.
struct PlanRequest {
  std::string model = "70b";  // a preset's name (model_presets.h)
  int64_t gpus = 10000;
  std::string gpu = "a100-80g";  // a catalogue name (hardware.h)
  double tokens = 2e12;          // to train on
  int64_t sequence_tokens = 0;   // 0: the preset's
  double batch_tokens = 0;       // tokens a step; 0: the preset's; at most a quarter more to fill the layout
  int tensor_parallel = 0, pipeline_parallel = 0, micro_batch = 0;
};

// Whether "tens of millions of dollars" ($10-99 M) buys the asked number of one GPU, cards alone.
struct Affordability {
  Gpu gpu;
  double total_low_usd = 0, total_high_usd = 0;
  std::string verdict;           // "yes", "only at the low price", "just not" (within 5 %), "no"
  int64_t gpus_for_99m_usd = 0;  // how many $99 M buy at the low price
};

struct Plan {
  PlanRequest request;  // resolved: nothing is zero
  Gpu gpu;
  double parameters = 0;
  double train_flops_per_token = 0;  // ModelConfig::train_flops_per_token at the sequence length
  double batch_sequences = 0;

  Layout layout;
  int64_t gpus_used = 0;  // tensor x pipeline x data parallel; the rest are spares
  MemoryUse memory;       // of the fullest GPU
  StepTime step;

  double model_flops_utilization = 0;  // model FLOPs / (GPUs used x peak x step time)
  double tokens_per_s = 0;
  double steps = 0;
  double days = 0;                    // without interruptions
  double expected_interruptions = 0;  // at Llama 3's rate: 419 unplanned in 54 days of 16,384 GPUs (2024)

  double megawatts = 0;  // all GPUs at their servers' full power, times the facility's overhead
  double energy_mwh = 0;
  double electricity_usd = 0;
  double purchase_low_usd = 0, purchase_high_usd = 0;  // cards alone
  double rental_low_usd = 0, rental_high_usd = 0;      // zero when the catalogue has no rental price
  std::vector<Affordability> affordability;            // every GPU of the catalogue that has a price
};

// Throws ConfigError for an unknown name (naming the nearest), a number out of range, or when no layout fits.
Plan plan(const PlanRequest& request);

// All fields, units in the names.
std::string to_json(const Plan& plan);

// {"model":"70b","gpus":10000,"gpu":"a100-80g","tokens":"2T"}; every member may be missing. Throws ConfigError.
PlanRequest plan_request_from_json(std::string_view json);

// "2T" = 2e12, "300B", "1.5M", "4000"; K, M, B, T. Throws ConfigError.
double parse_token_count(std::string_view text);

}  // namespace starling

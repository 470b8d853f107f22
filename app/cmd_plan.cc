#include <fmt/format.h>

#include "app/command.h"
#include "cluster/planner.h"
#include "cluster/score.h"
#include "core/error.h"
#include "core/json.h"

namespace starling {
namespace {

std::string gigabytes(double bytes) { return fmt::format("{:.1f} GB", bytes / 1e9); }
std::string millions(double usd) { return fmt::format("${:.1f} M", usd / 1e6); }
std::string share(double part, double whole) { return fmt::format("{:.1f} %", 100 * part / whole); }

void row(std::string_view name, const std::string& value) { fmt::print("  {:<22} {}\n", name, value); }

void print_layout(const Plan& plan) {
  const Layout& layout = plan.layout;
  fmt::print("Layout\n");
  row("tensor parallel",
      fmt::format("{}{}", layout.tensor_parallel, layout.sequence_parallel ? " with sequence parallelism" : ""));
  row("pipeline parallel",
      fmt::format("{}{}", layout.pipeline_parallel,
                  layout.virtual_stages > 1 ? fmt::format(", interleaved {} times", layout.virtual_stages) : ""));
  row("data parallel", fmt::format("{}, ZeRO-{}", layout.data_parallel, layout.zero_stage));
  if (layout.expert_parallel > 1) row("expert parallel", fmt::format("{} of those replicas", layout.expert_parallel));
  row("GPUs used",
      fmt::format("{} of {}; {} spare", plan.gpus_used, plan.request.gpus, plan.request.gpus - plan.gpus_used));
  row("batch", fmt::format("{:.0f} sequences of {} tokens ({:.2f} M tokens), {} a micro-batch", plan.batch_sequences,
                           plan.request.sequence_tokens, plan.request.batch_tokens / 1e6, layout.micro_batch));
  row("recomputation", std::string(recompute_name(layout.recompute)));
}

void print_memory(const Plan& plan) {
  const MemoryUse& memory = plan.memory;
  fmt::print("Memory of the fullest GPU: {} of {}\n", gigabytes(memory.total()), gigabytes(plan.gpu.memory_bytes));
  row("weights (bf16)", gigabytes(memory.weights));
  row("gradients (f32)", gigabytes(memory.gradients));
  row("optimizer (f32)", gigabytes(memory.optimizer));
  row("activations", gigabytes(memory.activations));
  row("workspace", gigabytes(memory.workspace));
}

void print_step(const Plan& plan) {
  const StepTime& step = plan.step;
  const double total = step.total();
  fmt::print("Step: {:.3f} s\n", total);
  row("compute", share(step.compute, total));
  if (step.recompute > 0) row("recomputation", share(step.recompute, total));
  row("tensor parallel", share(step.tensor_parallel, total));
  if (step.expert_parallel > 0) row("expert parallel", share(step.expert_parallel, total));
  row("pipeline", share(step.pipeline, total));
  row("data parallel", share(step.data_parallel, total));
  row("optimizer", share(step.optimizer, total));
  row("model FLOP utilisation", share(plan.model_flops_utilization, 1));
  row("throughput", fmt::format("{:.2f} M tokens/s", plan.tokens_per_s / 1e6));
}

void print_run(const Plan& plan) {
  fmt::print("Run\n");
  row("steps", fmt::format("{:.0f}", plan.steps));
  row("time",
      fmt::format("{:.1f} days without interruptions (expect about {:.0f})", plan.days, plan.expected_interruptions));
  row("power", fmt::format("{:.2f} MW, servers at full power and the building", plan.megawatts));
  row("energy", fmt::format("{:.0f} MWh, about {} of electricity", plan.energy_mwh, millions(plan.electricity_usd)));
  row("cards", plan.purchase_low_usd > 0
                   ? fmt::format("{} to {}, without servers and network", millions(plan.purchase_low_usd),
                                 millions(plan.purchase_high_usd))
                   : "no price in the catalogue");
  if (plan.rental_low_usd > 0)
    row("or rented", fmt::format("{} to {}", millions(plan.rental_low_usd), millions(plan.rental_high_usd)));
}

void print_affordability(const Plan& plan) {
  fmt::print("Do tens of millions of dollars ($10-99 M) buy {} cards?\n", plan.request.gpus);
  for (const Affordability& item : plan.affordability) {
    fmt::print("  {:<24} {:>9} to {:>9}  {:<22} $99 M buy {:>6}  ({}, {})\n", item.gpu.title,
               millions(item.total_low_usd), millions(item.total_high_usd), item.verdict, item.gpus_for_99m_usd,
               item.gpu.price_date, item.gpu.price_source);
  }
}

void print_plan(const Plan& plan) {
  fmt::print("{} ({:.1f} B parameters) on {:g} B tokens with {} x {}\n\n", plan.request.model, plan.parameters / 1e9,
             plan.request.tokens / 1e9, plan.request.gpus, plan.gpu.title);
  print_layout(plan);
  print_memory(plan);
  print_step(plan);
  print_run(plan);
  print_affordability(plan);
}

void print_score(const PlannerScore& score, bool json) {
  if (json) {
    nlohmann::ordered_json report = {{"rows", score.rows},
                                     {"median_absolute_error", score.median_absolute_error},
                                     {"ninth_decile_error", score.ninth_decile_error},
                                     {"sources", nlohmann::json::array()},
                                     {"left_out", score.left_out}};
    for (const SourceScore& source : score.sources) {
      report["sources"].push_back({{"source", source.source},
                                   {"rows", source.rows},
                                   {"median_absolute_error", source.median_absolute_error},
                                   {"median_bias", source.median_bias}});
    }
    return fmt::print("{}\n", dump_json(report, 2));
  }
  fmt::print("{:<20} {:>5}  {:>13}  {:>11}\n", "step times of", "rows", "median error", "median bias");
  for (const SourceScore& source : score.sources) {
    fmt::print("{:<20} {:>5}  {:>11.1f} %  {:>+9.1f} %\n", source.source, source.rows,
               100 * source.median_absolute_error, 100 * source.median_bias);
  }
  fmt::print("{:<20} {:>5}  {:>11.1f} %  nine of ten within {:.1f} %\n", "all", score.rows,
             100 * score.median_absolute_error, 100 * score.ninth_decile_error);
  for (const auto& [reason, rows] : score.left_out) fmt::print("left out: {} rows, {}\n", rows, reason);
}

void add_score(Command parent, const GlobalOptions& global) {
  Command command = parent.add_subcommand("score", "Compare predicted step times with published ones");
  auto file = std::make_shared<std::string>();
  command.add_option("measurements", *file, "CSV of measurements (docs/planner.md names the columns)")
      .required()
      .existing_file();
  command.callback([file, &global] { print_score(score_planner(*file), global.json); });
}

}  // namespace

void add_plan(Command root, const GlobalOptions& global) {
  Command command = root.add_subcommand("plan", "Plan a training run on a cluster: layout, memory, time, power, price");
  auto request = std::make_shared<PlanRequest>();
  auto tokens = std::make_shared<std::string>("2T");
  command.add_option("--model", request->model, "7b, 13b, 34b, 70b, 175b, 8x7b, 8x22b or grok-1").show_default();
  command.add_option("--gpus", request->gpus, "How many GPUs").show_default();
  command.add_option("--gpu", request->gpu, "a100-40g, a100-80g, h100, h200 or b200").show_default();
  command.add_option("--tokens", *tokens, "Tokens to train on: 2T, 300B, ...").show_default();
  command.add_option("--sequence-tokens", request->sequence_tokens, "Tokens of a sequence (default: the model's)");
  command.add_option("--batch-tokens", request->batch_tokens, "Tokens of a step (default: the model's)");
  command.add_option("--tensor-parallel", request->tensor_parallel, "Fix it instead of searching");
  command.add_option("--pipeline-parallel", request->pipeline_parallel, "Fix it instead of searching");
  command.add_option("--micro-batch", request->micro_batch, "Fix it instead of searching");
  add_score(command, global);
  command.footer(
      "Examples:\n"
      "  starling plan\n"
      "  starling plan --model 7b --gpus 256 --gpu h100 --tokens 1T --json\n"
      "  starling plan score measurements.csv");
  command.callback([command, request, tokens, &global] {
    if (command.subcommand_given()) return;  // `plan score` did the work
    request->tokens = parse_token_count(*tokens);
    const Plan result = plan(*request);
    if (global.json) fmt::print("{}\n", to_json(result));
    else print_plan(result);
  });
}

}  // namespace starling

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "cluster/planner.h"
#include "core/config.h"
#include "core/error.h"
#include "core/json.h"

namespace starling {
namespace {

using Json = nlohmann::ordered_json;

Json request_json(const PlanRequest& request) {
  return {{"model", request.model},
          {"gpus", request.gpus},
          {"gpu", request.gpu},
          {"tokens", request.tokens},
          {"sequence_tokens", request.sequence_tokens},
          {"batch_tokens", request.batch_tokens}};
}

Json gpu_json(const Gpu& gpu) {
  return {{"name", gpu.name},
          {"title", gpu.title},
          {"peak_bf16_flops_per_s", gpu.peak_bf16_flops},
          {"memory_bytes", gpu.memory_bytes},
          {"memory_bytes_per_s", gpu.memory_bytes_per_s},
          {"link_bytes_per_s", gpu.link_bytes_per_s},
          {"network_bytes_per_s", gpu.network_bytes_per_s},
          {"gpus_per_node", gpu.gpus_per_node},
          {"watts", gpu.watts},
          {"server_watts_per_gpu", gpu.server_watts_per_gpu},
          {"price_low_usd", gpu.price_low_usd},
          {"price_high_usd", gpu.price_high_usd},
          {"price_source", gpu.price_source},
          {"price_date", gpu.price_date}};
}

Json layout_json(const Plan& plan) {
  const Layout& layout = plan.layout;
  return {
      {"tensor_parallel", layout.tensor_parallel},
      {"sequence_parallel", layout.sequence_parallel},
      {"pipeline_parallel", layout.pipeline_parallel},
      {"virtual_stages", layout.virtual_stages},
      {"data_parallel", layout.data_parallel},
      {"expert_parallel", layout.expert_parallel},
      {"zero_stage", layout.zero_stage},
      {"micro_batch_sequences", layout.micro_batch},
      {"micro_batches_per_step", plan.batch_sequences / static_cast<double>(layout.data_parallel * layout.micro_batch)},
      {"recompute", recompute_name(layout.recompute)},
      {"gpus_used", plan.gpus_used},
      {"gpus_spare", plan.request.gpus - plan.gpus_used}};
}

Json memory_json(const MemoryUse& memory) {
  return {{"weights_bytes", memory.weights},     {"gradients_bytes", memory.gradients},
          {"optimizer_bytes", memory.optimizer}, {"activations_bytes", memory.activations},
          {"workspace_bytes", memory.workspace}, {"total_bytes", memory.total()}};
}

Json step_json(const StepTime& step) {
  return {{"compute_s", step.compute},
          {"recompute_s", step.recompute},
          {"tensor_parallel_s", step.tensor_parallel},
          {"expert_parallel_s", step.expert_parallel},
          {"pipeline_s", step.pipeline},
          {"data_parallel_s", step.data_parallel},
          {"optimizer_s", step.optimizer},
          {"total_s", step.total()}};
}

Json affordability_json(const std::vector<Affordability>& rows) {
  Json list = Json::array();
  for (const Affordability& row : rows) {
    list.push_back({{"gpu", row.gpu.name},
                    {"title", row.gpu.title},
                    {"price_low_usd", row.gpu.price_low_usd},
                    {"price_high_usd", row.gpu.price_high_usd},
                    {"price_source", row.gpu.price_source},
                    {"price_date", row.gpu.price_date},
                    {"total_low_usd", row.total_low_usd},
                    {"total_high_usd", row.total_high_usd},
                    {"tens_of_millions_buy_it", row.verdict},
                    {"gpus_for_99m_usd", row.gpus_for_99m_usd}});
  }
  return list;
}

double token_count(const Json& value) {
  if (value.is_string()) return parse_token_count(value.get<std::string>());
  if (value.is_number()) return value.get<double>();
  throw ConfigError("\"tokens\" must be a number or a text such as \"2T\"");
}

// nlohmann's conversion would take 1.5 and true for 1, and the low bits of what does not fit.
template <class Number>
void read_whole(const Json& json, const char* name, Number& value) {
  if (!json.contains(name)) return;
  const double number = json[name].is_number() ? json[name].get<double>() : std::nan("");
  if (!(number == std::trunc(number) && std::abs(number) <= 1e9))
    throw ConfigError(fmt::format("\"{}\" must be a whole number of at most 1e9", name));
  value = static_cast<Number>(number);
}

}  // namespace

std::string to_json(const Plan& plan) {
  const Json json = {{"request", request_json(plan.request)},
                     {"model",
                      {{"name", plan.request.model},
                       {"parameters", plan.parameters},
                       {"train_flops_per_token", plan.train_flops_per_token}}},
                     {"gpu", gpu_json(plan.gpu)},
                     {"layout", layout_json(plan)},
                     {"memory_per_gpu", memory_json(plan.memory)},
                     {"step", step_json(plan.step)},
                     {"model_flops_utilization", plan.model_flops_utilization},
                     {"tokens_per_s", plan.tokens_per_s},
                     {"steps", plan.steps},
                     {"days", plan.days},
                     {"expected_interruptions", plan.expected_interruptions},
                     {"megawatts", plan.megawatts},
                     {"energy_mwh", plan.energy_mwh},
                     {"electricity_usd", plan.electricity_usd},
                     {"purchase_low_usd", plan.purchase_low_usd},
                     {"purchase_high_usd", plan.purchase_high_usd},
                     {"rental_low_usd", plan.rental_low_usd},
                     {"rental_high_usd", plan.rental_high_usd},
                     {"affordability", affordability_json(plan.affordability)}};
  return dump_json(json, 2);
}

double parse_token_count(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view suffix = text.substr(static_cast<size_t>(end - text.data()));
  static constexpr std::pair<std::string_view, double> kScales[] = {
      {"", 1}, {"K", 1e3}, {"M", 1e6}, {"B", 1e9}, {"T", 1e12}};
  for (const auto& [letter, scale] : kScales) {
    const bool match = suffix.size() == letter.size() && (suffix.empty() || (suffix[0] & ~0x20) == letter[0]);
    if (error == std::errc() && match && value > 0 && value < 1e18) return value * scale;
  }
  throw ConfigError(fmt::format("\"{}\" is not a number of tokens; write for example 2T, 300B, 1.5M or 4000", text));
}

PlanRequest plan_request_from_json(std::string_view text) {
  PlanRequest request;
  try {
    const Json json = parse_ordered_json(text);
    if (!json.is_object()) throw ConfigError("a plan request is a JSON object");
    static const std::vector<std::string> known = {"model",
                                                   "gpus",
                                                   "gpu",
                                                   "tokens",
                                                   "sequence_tokens",
                                                   "batch_tokens",
                                                   "tensor_parallel",
                                                   "pipeline_parallel",
                                                   "micro_batch"};
    for (const auto& [name, value] : json.items()) {
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        throw ConfigError(
            fmt::format("unknown member \"{}\"; the nearest known one is \"{}\"", name, nearest_word(name, known)));
      }
    }
    request.model = json.value("model", request.model);
    read_whole(json, "gpus", request.gpus);
    request.gpu = json.value("gpu", request.gpu);
    if (json.contains("tokens")) request.tokens = token_count(json["tokens"]);
    read_whole(json, "sequence_tokens", request.sequence_tokens);
    if (json.contains("batch_tokens")) request.batch_tokens = token_count(json["batch_tokens"]);
    read_whole(json, "tensor_parallel", request.tensor_parallel);
    read_whole(json, "pipeline_parallel", request.pipeline_parallel);
    read_whole(json, "micro_batch", request.micro_batch);
  } catch (const Json::exception& error) {
    throw ConfigError(fmt::format("the plan request is not valid: {}", error.what()));
  }
  return request;
}

}  // namespace starling

#include "cluster/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "cluster/cost_model.h"
#include "core/error.h"
#include "core/file.h"

namespace starling {
namespace {

using Row = std::map<std::string, std::string, std::less<>>;

// One record of RFC 4180 CSV from the front of `text`; counts the lines it spans.
std::vector<std::string> take_record(std::string_view& text, size_t& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  size_t i = 0;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') ++line;
    if (quoted) {
      if (c != '"') fields.back() += c;
      else if (i + 1 < text.size() && text[i + 1] == '"') fields.back() += text[++i];
      else quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      fields.emplace_back();
    } else if (c == '\n') {
      ++i;
      break;
    } else if (c != '\r') {
      fields.back() += c;
    }
  }
  text.remove_prefix(i);
  return fields;
}

std::vector<Row> read_rows(const std::filesystem::path& path) {
  const MappedFile file(path);
  std::string_view text = file.text();
  size_t line = 1;
  const std::vector<std::string> header = take_record(text, line);
  if (std::find(header.begin(), header.end(), "step_time_s") == header.end()) {
    throw DataError(fmt::format("{}:1: the header has no column step_time_s", path.string()));
  }
  std::vector<Row> rows;
  while (!text.empty()) {
    const size_t first_line = line;
    const std::vector<std::string> fields = take_record(text, line);
    if (fields.size() == 1 && fields[0].empty()) continue;
    if (fields.size() != header.size()) {
      throw DataError(fmt::format("{}:{}: {} fields under a header of {}", path.string(), first_line, fields.size(),
                                  header.size()));
    }
    Row& row = rows.emplace_back();
    for (size_t i = 0; i < header.size(); ++i) row.emplace(header[i], fields[i]);
  }
  return rows;
}

std::string_view text_of(const Row& row, std::string_view column) {
  const auto found = row.find(column);
  return found == row.end() ? std::string_view() : std::string_view(found->second);
}

// The number that the field starts with; `fallback` for a field without one ("interleaved", "", "nan").
double number_of(const Row& row, std::string_view column, double fallback) {
  const std::string_view text = text_of(row, column);
  double value = 0;
  const bool read = std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc();
  return read && std::isfinite(value) ? value : fallback;
}

int64_t whole_of(const Row& row, std::string_view column, int64_t fallback) {
  const double value = number_of(row, column, static_cast<double>(fallback));
  return value >= 1 && value < 1e15 ? static_cast<int64_t>(value) : fallback;
}

bool contains(std::string_view text, std::string_view word) { return text.find(word) != std::string_view::npos; }

// GPUs of the measurements that the planner's catalogue does not sell keep the nearest catalogue entry's other numbers.
std::optional<Gpu> gpu_of(const Row& row) {
  const std::string_view name = text_of(row, "gpu");
  Gpu gpu;
  if (contains(name, "A100-SXM-40GB")) gpu = find_gpu("a100-40g");
  else if (contains(name, "A100")) gpu = find_gpu("a100-80g");
  else if (contains(name, "H100")) gpu = find_gpu("h100");
  else if (contains(name, "B200") || contains(name, "B300")) gpu = find_gpu("b200");
  else return std::nullopt;
  if (contains(name, "HBM2e")) gpu.memory_bytes_per_s = 2.0e12;
  if (name.starts_with("GB")) gpu.peak_bf16_flops = 2500e12;
  gpu.gpus_per_node = whole_of(row, "gpus_per_node", gpu.gpus_per_node);
  gpu.network_bytes_per_s = number_of(row, "internode_gbps_per_gpu", gpu.network_bytes_per_s * 8 / 1e9) * 1e9 / 8;
  return gpu;
}

// Measurements made before fused attention was common, unless the row says which it used.
bool used_flash_attention(const Row& row) {
  if (const std::string_view stated = text_of(row, "flash_attention"); !stated.empty()) return stated == "1";
  const std::string_view source = text_of(row, "source");
  for (const std::string_view old : {"narayanan21", "korthikanti22", "vtrain", "bloom"}) {
    if (source.starts_with(old)) return false;
  }
  return true;
}

// What the table does not say of its mixtures: the models' own config.json.
void complete_mixture(Workload& work, std::string_view name) {
  if (name.starts_with("Qwen3")) work.model.head_dim = 128;
  if (name.starts_with("DeepSeekV3")) work.shared_expert_width = work.model.intermediate_size;
}

Workload workload_of(const Row& row, const Gpu& gpu) {
  const int64_t hidden = whole_of(row, "hidden", 1), heads = whole_of(row, "heads", 1);
  const int64_t experts = whole_of(row, "experts", 0);
  const int64_t width = experts > 0 ? whole_of(row, "moe_ffn", hidden) : whole_of(row, "ffn", 4 * hidden);
  const bool gated = text_of(row, "gated_mlp") == "1";
  const double peak = number_of(row, "peak_tflops", gpu.peak_bf16_flops / 1e12) * 1e12;
  const ModelConfig model{.vocab_size = whole_of(row, "vocab", 51200),
                          .hidden_size = hidden,
                          .intermediate_size = gated ? width : width * 2 / 3,
                          .num_layers = whole_of(row, "layers", 1),
                          .num_heads = heads,
                          .num_kv_heads = whole_of(row, "kv_heads", heads),
                          .num_experts = experts,
                          .experts_per_token = experts > 0 ? whole_of(row, "topk", 1) : 0};
  Workload work{.model = model,
                .gated_mlp = gated,
                .low_precision_speedup = peak / gpu.peak_bf16_flops,
                .flash_attention = used_flash_attention(row),
                .sequence_tokens = whole_of(row, "seq", 2048),
                .batch_sequences = number_of(row, "gbs", 1)};
  if (experts > 0) complete_mixture(work, text_of(row, "model"));
  return work;
}

Recompute recompute_of(std::string_view text) {
  if (text == "full") return Recompute::kFull;
  return text.starts_with("none") ? Recompute::kNone : Recompute::kSelective;  // not stated: modern defaults
}

Layout layout_of(const Row& row) {
  const std::string_view zero = text_of(row, "zero");
  const double stage = contains(zero, "FSDP") ? 3 : number_of(row, "zero", 1);
  return {.tensor_parallel = whole_of(row, "tp", 1),
          .sequence_parallel = text_of(row, "sp") == "1",
          .pipeline_parallel = whole_of(row, "pp", 1),
          .virtual_stages = whole_of(row, "vp", 1),
          .data_parallel = whole_of(row, "dp", 1),
          .expert_parallel = whole_of(row, "ep", 1),
          .zero_stage = static_cast<int64_t>(stage),
          .micro_batch = whole_of(row, "mbs", 1),
          .recompute = recompute_of(text_of(row, "recompute"))};
}

// Why the cost model does not cover a row; empty when it does.
std::string reason_to_leave_out(const Row& row) {
  if (number_of(row, "step_time_s", 0) <= 0) return "no step time";
  if (number_of(row, "cp", 1) > 1) return "context parallelism";
  if (!gpu_of(row)) return "not an NVIDIA GPU of the catalogue";
  for (const char* column : {"layers", "hidden", "heads", "gbs"}) {
    if (number_of(row, column, 0) <= 0) return "shape or batch not given";
  }
  return {};
}

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

std::vector<double> absolute(std::vector<double> values) {
  for (double& value : values) value = std::abs(value);
  return values;
}

}  // namespace

PlannerScore score_planner(const std::filesystem::path& measurements_csv) {
  PlannerScore score;
  std::vector<double> errors;
  std::map<std::string, std::vector<double>> by_source;
  for (const Row& row : read_rows(measurements_csv)) {
    if (const std::string reason = reason_to_leave_out(row); !reason.empty()) {
      ++score.left_out[reason];
      continue;
    }
    const Gpu gpu = *gpu_of(row);
    const double predicted = step_time(workload_of(row, gpu), layout_of(row), gpu).total();
    errors.push_back(predicted / number_of(row, "step_time_s", 0) - 1);
    const bool mixture = whole_of(row, "experts", 0) > 0;
    by_source[std::string(text_of(row, "source")) + (mixture ? ", experts" : "")].push_back(errors.back());
  }
  score.rows = static_cast<int64_t>(errors.size());
  score.median_absolute_error = quantile(absolute(errors), 0.5);
  score.ninth_decile_error = quantile(absolute(errors), 0.9);
  for (const auto& [source, values] : by_source) {
    score.sources.push_back({.source = source,
                             .rows = static_cast<int64_t>(values.size()),
                             .median_absolute_error = quantile(absolute(values), 0.5),
                             .median_bias = quantile(values, 0.5)});
  }
  return score;
}

}  // namespace starling

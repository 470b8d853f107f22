// Scores the cost model's step times against published measurements.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace starling {

struct SourceScore {
  std::string source;  // a paper or repository; ", experts" its mixtures
  int64_t rows = 0;
  double median_absolute_error = 0;  // |predicted / measured - 1|
  double median_bias = 0;            // predicted / measured - 1
};

struct PlannerScore {
  int64_t rows = 0;
  double median_absolute_error = 0, ninth_decile_error = 0;
  std::vector<SourceScore> sources;         // by name
  std::map<std::string, int64_t> left_out;  // reason -> rows that the model does not cover
};

// Reads a CSV with a header and the columns source, layers, hidden, heads, kv_heads, ffn, gated_mlp, vocab, seq,
// experts, topk, moe_ffn, ep, gpu, peak_tflops, gpus_per_node, internode_gbps_per_gpu, tp, sp, pp, vp, dp, cp, zero,
// mbs, gbs, recompute, precision, flash_attention (optional), step_time_s. Throws DataError with file and line,
// IoError.
PlannerScore score_planner(const std::filesystem::path& measurements_csv);

}  // namespace starling

// The log of a run: runs/<name>/log.jsonl, one object a logged step, which the server reads; and loss.svg made from it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace starling {

struct LogPoint {
  int64_t step = 0, tokens = 0;
  double loss = 0;                                 // nats a token, mean since the point before
  std::optional<double> validation_bits_per_byte;  // when it was measured at this step
  double tokens_per_s = 0, fraction_of_peak = 0, learning_rate = 0, grad_norm = 0, time_s = 0;
  int64_t skipped_steps = 0;                 // since the start: updates that spike_deviations held back
  std::optional<double> noise_scale_tokens;  // stability.h; only with several micro batches a step
  // Norms of the last gradient (before clipping) and of the weights: embedding, each block, final norm with the head.
  std::vector<double> gradient_norms, weight_norms;
  // Of each block, the share that its busiest expert took of the last pass; 1 / experts when even. None without
  // experts.
  std::vector<double> largest_expert_shares;
};

class RunLog {
 public:
  // Keeps the points up to `last_step`: what a resumed run trains again is logged again. A damaged last line is
  // dropped.
  RunLog(std::filesystem::path run_folder, int64_t last_step);
  void add(const LogPoint& point);
  void plot() const;  // writes loss.svg
  const std::vector<LogPoint>& points() const { return points_; }

 private:
  std::filesystem::path folder_;
  std::vector<LogPoint> points_;
};

}  // namespace starling

// What watches over a run: updates that are not made, and how noisy the gradient is. Both are part of a checkpoint, so
// that a resumed run decides as the uninterrupted one.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace starling {

// An update is skipped when its loss or its gradient's norm lies more than `deviations` standard deviations above the
// mean of the last 128 steps, or is not finite. Source: OLMo 2 (2025), arXiv:2501.00656, section 3.2 (6 deviations).
class SpikeGuard {
 public:
  struct State {
    std::vector<double> losses, norms;  // the last steps, oldest first
    int64_t skipped = 0, skipped_in_row = 0;
  };
  explicit SpikeGuard(double deviations = 6) : deviations_(deviations) {}
  SpikeGuard(double deviations, State state) : deviations_(deviations), state_(std::move(state)) {}

  // Notes a step and says whether its update may be made. With deviations 0 only values that are not finite are
  // skipped. Before 64 steps are known nothing finite is a spike.
  bool admit(double loss, double gradient_norm);
  const State& state() const { return state_; }

 private:
  double deviations_;
  State state_;
};

// The batch, in tokens, at which noise and signal of the gradient are equal: tr(S) / |G|^2, with S the covariance of
// one token's gradient. From the squared norms of the gradient of a part of the batch and of the whole:
//   |G|^2 = (B |g_B|^2 - b |g_b|^2) / (B - b),  tr(S) = (|g_b|^2 - |g_B|^2) / (1/b - 1/B)
// each as a running mean over about 100 steps. A batch far below it learns as much a token; far above it wastes tokens.
// Source: McCandlish et al. 2018, arXiv:1812.06162, appendix A.
class NoiseScale {
 public:
  struct State {
    double signal = 0, noise = 0;
    int64_t steps = 0;
  };
  NoiseScale() = default;
  explicit NoiseScale(State state) : state_(state) {}

  // Squared norms of mean gradients over small_tokens and big_tokens; small_tokens < big_tokens.
  void add(double small_tokens, double small_square, double big_tokens, double big_square);
  std::optional<double> tokens() const;  // none before 10 steps, or while the signal is lost in the noise
  const State& state() const { return state_; }

 private:
  State state_;
};

}  // namespace starling

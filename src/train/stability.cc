#include "train/stability.h"

#include <algorithm>
#include <cmath>

namespace starling {
namespace {

constexpr size_t kWindow = 128, kLeast = 64;
constexpr double kMemory = 0.99;
constexpr int64_t kLeastNoiseSteps = 10;

bool is_above(const std::vector<double>& recent, double value, double deviations) {
  if (recent.size() < kLeast) return false;
  double mean = 0, square = 0;
  for (double x : recent) mean += x;
  mean /= static_cast<double>(recent.size());
  for (double x : recent) square += (x - mean) * (x - mean);
  return value > mean + deviations * std::sqrt(square / static_cast<double>(recent.size()));
}

void remember(std::vector<double>& recent, double value) {
  if (recent.size() == kWindow) recent.erase(recent.begin());
  recent.push_back(value);
}

}  // namespace

bool SpikeGuard::admit(double loss, double gradient_norm) {
  const bool finite = std::isfinite(loss) && std::isfinite(gradient_norm);
  const bool spike = finite && deviations_ > 0 &&
                     (is_above(state_.losses, loss, deviations_) || is_above(state_.norms, gradient_norm, deviations_));
  if (finite) {  // spikes too: what has become usual is one no longer
    remember(state_.losses, loss);
    remember(state_.norms, gradient_norm);
  }
  const bool admitted = finite && !spike;
  state_.skipped += admitted ? 0 : 1;
  state_.skipped_in_row = admitted ? 0 : state_.skipped_in_row + 1;
  return admitted;
}

void NoiseScale::add(double small_tokens, double small_square, double big_tokens, double big_square) {
  const double signal = (big_tokens * big_square - small_tokens * small_square) / (big_tokens - small_tokens);
  const double noise = (small_square - big_square) / (1 / small_tokens - 1 / big_tokens);
  // The mean of what there is, then one that forgets.
  const double keep = std::min(kMemory, static_cast<double>(state_.steps) / static_cast<double>(state_.steps + 1));
  state_.signal = keep * state_.signal + (1 - keep) * signal;
  state_.noise = keep * state_.noise + (1 - keep) * noise;
  state_.steps += 1;
}

std::optional<double> NoiseScale::tokens() const {
  if (state_.steps < kLeastNoiseSteps || state_.signal <= 0 || state_.noise <= 0) return std::nullopt;
  return state_.noise / state_.signal;
}

}  // namespace starling

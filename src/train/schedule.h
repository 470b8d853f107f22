// Warm-up, plateau, decay (Hu et al. 2024, arXiv:2404.06395). The factor of the peak learning rate at `step` (from 0):
//   min(1, (step + 1) / warmup) * min(1, (total - step) / (total * decay_fraction))
#pragma once

#include <algorithm>
#include <cstdint>

namespace starling {

inline double learning_rate_factor(int64_t step, int64_t total, int64_t warmup, double decay_fraction) {
  const double rise = static_cast<double>(step + 1) / static_cast<double>(std::max<int64_t>(warmup, 1));
  const double decay_steps = std::max(1.0, static_cast<double>(total) * decay_fraction);
  const double fall = static_cast<double>(total - step) / decay_steps;
  return std::clamp(std::min(rise, fall), 0.0, 1.0);
}

}  // namespace starling

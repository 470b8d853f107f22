// The learning rate as a factor of its peak at `step` (from 0) of `total`:
//   rise = min(1, (step + 1) / warmup),  left = min(1, (total - step) / (total * decay_fraction))  of the decay's steps
//   linear: min(rise, f + (1 - f) left)                 plateau, then a line            (arXiv:2404.06395)
//   wsd:    min(rise, f + (1 - f) (1 - sqrt(1 - left)))  plateau, then one minus a root  (Hagele et al. 2024,
//                                                                                        arXiv:2405.18392)
//   cosine: min(rise, f + (1 - f) (1 + cos(pi step / total)) / 2)                        (arXiv:1608.03983)
// f: the factor at the end.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace starling {

enum class ScheduleKind { linear, wsd, cosine };

struct Schedule {
  ScheduleKind kind = ScheduleKind::linear;
  int64_t warmup_steps = 20;
  double decay_fraction = 0.6;
  double final_factor = 0;

  double factor(int64_t step, int64_t total) const {
    const double rise = static_cast<double>(step + 1) / static_cast<double>(std::max<int64_t>(warmup_steps, 1));
    const double decay_steps = std::max(1.0, static_cast<double>(total) * decay_fraction);
    const double left = std::clamp(static_cast<double>(total - step) / decay_steps, 0.0, 1.0);
    double shape = left;
    if (kind == ScheduleKind::wsd) shape = 1 - std::sqrt(1 - left);
    if (kind == ScheduleKind::cosine)
      shape = (1 + std::cos(std::numbers::pi * static_cast<double>(step) / static_cast<double>(total))) / 2;
    return std::clamp(std::min(rise, final_factor + (1 - final_factor) * shape), 0.0, 1.0);
  }

  // Whether the first `steps` have the same factors in runs of both lengths.
  bool agrees(int64_t steps, int64_t total, int64_t other) const {
    for (int64_t step = 0; step < steps; ++step)
      if (factor(step, total) != factor(step, other)) return false;
    return true;
  }
};

}  // namespace starling

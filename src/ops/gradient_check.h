// For tests: what finite differences say of a gradient.
#pragma once

#include <functional>
#include <numeric>
#include <vector>

namespace starling {

inline double dot(const std::vector<float>& a, const std::vector<float>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// (f(x + h) - f(x - h)) / 2h along x[i], h = 1e-2; x is left as it was. In f32 the rounding of f (1e-6 relative) over
// 2h stays below 1e-4, and the h^2 term of smooth operators below 1 % of a slope of size 1.
inline double central_difference(std::vector<float>& x, size_t i, const std::function<double()>& f) {
  constexpr float kStep = 1e-2f;
  const float before = x[i];
  x[i] = before + kStep;
  const double up = f();
  x[i] = before - kStep;
  const double down = f();
  x[i] = before;
  return (up - down) / (2.0 * static_cast<double>(kStep));
}

}  // namespace starling

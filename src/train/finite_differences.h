// For tests: a model's gradients against central differences of a loss.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "model/transformer.h"

namespace starling {

// Moves all values of the parameter along the signs of its gradient, by h forth and back: the loss must change by 2 h
// times the sum of the gradient's absolute values, which must not be 0. The values are as before afterwards.
inline void expect_gradient_of(Transformer& model, const char* name, const std::function<double()>& loss) {
  const size_t p = model.parameters().index_of(name);
  const Tensor value = model.parameters().value(p), gradient = model.parameters().gradient(p);
  double expected = 0, sides[2];
  for (int64_t i = 0; i < value.elements(); ++i) expected += std::abs(static_cast<double>(gradient.as<float>()[i]));
  const float h = 0.02f / std::sqrt(static_cast<float>(value.elements()));
  const std::vector<float> before(value.as<float>(), value.as<float>() + value.elements());
  for (int side = 0; side < 2; ++side) {
    for (int64_t i = 0; i < value.elements(); ++i)
      value.as<float>()[i] =
          before[static_cast<size_t>(i)] + (side == 0 ? h : -h) * (gradient.as<float>()[i] > 0 ? 1.0f : -1.0f);
    sides[side] = loss();
  }
  std::copy(before.begin(), before.end(), value.as<float>());
  EXPECT_NEAR((sides[0] - sides[1]) / (2.0 * static_cast<double>(h)), expected, 0.02 * expected + 1e-3) << name;
  EXPECT_GT(expected, 0) << name;
}

}  // namespace starling

// Elementary functions written so that a loop over them vectorises.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace starling {

// e^x with a relative error below 3e-7; 0 below -87, e^88 above 88. x = n ln2 + r, |r| <= ln2 / 2, e^r by its Taylor
// series to r^7, 2^n by its bits.
inline float fast_exp(float x) {
  const float clamped = std::min(std::max(x, -87.0f), 88.0f);
  const float n = std::rint(clamped * 1.44269504f);
  const float r = (clamped - n * 0.693145752f) - n * 1.42860677e-6f;  // ln2 in two parts (Cody & Waite)
  float power = 1.98412698e-4f;
  power = power * r + 1.38888889e-3f;
  power = power * r + 8.33333333e-3f;
  power = power * r + 4.16666667e-2f;
  power = power * r + 1.66666667e-1f;
  power = power * r + 0.5f;
  power = power * r + 1.0f;
  power = power * r + 1.0f;
  const int32_t exponent = static_cast<int32_t>(n) << 23;
  const float result = std::bit_cast<float>(std::bit_cast<int32_t>(power) + exponent);
  return x < -87.0f ? 0.0f : result;
}

}  // namespace starling

#include "infer/cache_elements.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/random.h"

namespace starling {
namespace {

std::vector<float> normal_values(int64_t count) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(random_normal(3, 1, static_cast<uint64_t>(i)));
  return values;
}

TEST(CacheElements, EightBitsAreWithinHalfAStepAndF16WithinHalfAnUlp) {
  for (const int64_t count : {1, 2, 7, 8, 24, 66, 128}) {
    const std::vector<float> values = normal_values(count);
    const float largest = std::abs(*std::ranges::max_element(values, {}, [](float x) { return std::abs(x); }));
    std::vector<int8_t> rounded(count + 1, 99);
    std::vector<uint16_t> f16(count + 1, 99);
    std::vector<float> from_int8(count), from_f16(count);
    const float scale = round_elements(values.data(), rounded.data(), count);
    round_elements(values.data(), f16.data(), count);
    EXPECT_EQ(rounded.back(), 99) << "wrote too far";
    EXPECT_EQ(f16.back(), 99) << "wrote too far";
    EXPECT_FLOAT_EQ(scale, largest / 127);
    widen_elements(rounded.data(), from_int8.data(), count);
    widen_elements(f16.data(), from_f16.data(), count);
    for (int64_t i = 0; i < count; ++i) {
      EXPECT_EQ(from_int8[i], std::nearbyint(values[i] * (127 / largest)));
      EXPECT_NEAR(from_f16[i], values[i], std::abs(values[i]) * 0x1p-11f + 0x1p-25f);
    }
  }
}

TEST(CacheElements, ZerosHaveTheScaleZero) {
  const std::vector<float> zeros(12);
  std::vector<int8_t> rounded(12, 99);
  EXPECT_EQ(round_elements(zeros.data(), rounded.data(), 12), 0.0f);
  EXPECT_THAT(rounded, testing::Each(0));
}

}  // namespace
}  // namespace starling

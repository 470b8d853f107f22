#include "train/stability.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/random.h"
#include "train/schedule.h"

namespace starling {
namespace {

TEST(Schedule, RisesThenFallsInItsOwnShape) {
  const Schedule linear{ScheduleKind::linear, 10, 0.5, 0.0}, wsd{ScheduleKind::wsd, 10, 0.5, 0.0},
      cosine{ScheduleKind::cosine, 10, 0.5, 0.1};
  for (const Schedule& s : {linear, wsd, cosine}) EXPECT_DOUBLE_EQ(s.factor(4, 100), 0.5);  // the warm-up of all
  EXPECT_DOUBLE_EQ(linear.factor(50, 100), 1.0);
  EXPECT_DOUBLE_EQ(linear.factor(75, 100), 0.5);
  EXPECT_DOUBLE_EQ(wsd.factor(50, 100), 1.0);
  EXPECT_DOUBLE_EQ(wsd.factor(75, 100), 1 - std::sqrt(0.5));
  EXPECT_DOUBLE_EQ(cosine.factor(50, 100), 0.1 + 0.9 / 2);
  EXPECT_DOUBLE_EQ(linear.factor(100, 100), 0.0);
  EXPECT_NEAR(cosine.factor(100, 100), 0.1, 1e-12);
}

double noisy(uint64_t step) { return 2.0 + 0.1 * static_cast<double>(random_normal(1, 1, step)); }

TEST(SpikeGuard, SkipsASpikeOfTheLossOrOfTheGradientAndNothingUsual) {
  SpikeGuard guard(6);
  for (uint64_t step = 0; step < 300; ++step) EXPECT_TRUE(guard.admit(noisy(step), noisy(step + 1000))) << step;
  EXPECT_FALSE(guard.admit(3.5, 2.0));
  EXPECT_FALSE(guard.admit(2.0, 3.5));
  EXPECT_FALSE(guard.admit(std::numeric_limits<double>::quiet_NaN(), 2.0));
  EXPECT_EQ(guard.state().skipped, 3);
  EXPECT_EQ(guard.state().skipped_in_row, 3);
  EXPECT_TRUE(guard.admit(2.0, 2.0));
  EXPECT_EQ(guard.state().skipped_in_row, 0);
}

TEST(SpikeGuard, ALevelThatStaysIsUsualAfterAWhileAndASavedStateDecidesAlike) {
  SpikeGuard guard(6);
  for (uint64_t step = 0; step < 200; ++step) guard.admit(noisy(step), 1.0 + noisy(step + 1000));
  SpikeGuard again(6, guard.state());
  int64_t skipped = 0;
  for (int step = 0; step < 50; ++step) {
    const bool admitted = guard.admit(4.0, 3.0);
    EXPECT_EQ(again.admit(4.0, 3.0), admitted);
    skipped += !admitted;
  }
  EXPECT_GT(skipped, 0);
  EXPECT_LT(skipped, 20);
}

// Gradients of tokens: mean 1 in each of 4 coordinates, deviation 5: tr(S) / |G|^2 = 4 * 25 / 4 = 25 tokens. With 3000
// steps of 8 and 32 tokens the estimate's own deviation stays below a fifth.
TEST(NoiseScale, FindsTheRatioOfVarianceToSignalOfKnownGradients) {
  NoiseScale scale;
  double sum = 0;
  int64_t counted = 0;
  uint64_t draw = 0;
  for (int step = 0; step < 3000; ++step) {
    double small = 0, big = 0;
    for (int coordinate = 0; coordinate < 4; ++coordinate) {
      double part = 0, all = 0;
      for (int token = 0; token < 32; ++token) {
        all += 1.0 + 5.0 * static_cast<double>(random_normal(2, 1, draw++));
        if (token == 7) part = all / 8;
      }
      small += part * part, big += all / 32 * all / 32;
    }
    scale.add(8, small, 32, big);
    if (step >= 200 && scale.tokens()) sum += *scale.tokens(), ++counted;
  }
  ASSERT_GT(counted, 2000);
  EXPECT_NEAR(sum / static_cast<double>(counted), 25.0, 5.0);
}

}  // namespace
}  // namespace starling

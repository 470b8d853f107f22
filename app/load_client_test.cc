#include "app/load_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "core/error.h"
#include "core/stop.h"

namespace starling {
namespace {

TEST(Percentile, IsTheSmallestValueThatTheShareDoesNotExceed) {
  const std::vector<double> ten = {7, 3, 10, 1, 9, 2, 8, 4, 6, 5};
  EXPECT_EQ(percentile(ten, 0.5), 5);
  EXPECT_EQ(percentile(ten, 0.51), 6);
  EXPECT_EQ(percentile(ten, 0.99), 10);
  EXPECT_EQ(percentile(ten, 0), 1);
  EXPECT_EQ(percentile(ten, 1), 10);
  EXPECT_EQ(percentile({4}, 0.5), 4);
  EXPECT_EQ(percentile({}, 0.5), 0);
}

TEST(PoissonArrivals, GrowWithExponentialGapsOfTheAskedMeanAndRepeatWithTheSeed) {
  constexpr size_t kCount = 20'000;
  const std::vector<double> arrivals = poisson_arrivals(kCount, 8, 3);
  ASSERT_EQ(arrivals.size(), kCount);
  double last = 0, squares = 0;
  size_t longer_than_mean = 0;
  for (const double arrival : arrivals) {
    const double gap = arrival - last;
    ASSERT_GT(gap, 0);
    squares += gap * gap;
    longer_than_mean += gap > 1.0 / 8;
    last = arrival;
  }
  // Of 20,000 gaps a mean strays by 1 / sqrt(20000) = 0.7 %, a mean square by 1.6 %, a share of 0.37 by 0.9 %.
  EXPECT_NEAR(last / kCount, 1.0 / 8, 0.03 / 8);
  EXPECT_NEAR(squares / kCount, 2.0 / 64, 0.07 * 2 / 64) << "an exponential's mean square is twice its mean's";
  EXPECT_NEAR(static_cast<double>(longer_than_mean) / kCount, std::exp(-1), 0.015);
  EXPECT_EQ(poisson_arrivals(kCount, 8, 3), arrivals);
  EXPECT_NE(poisson_arrivals(kCount, 8, 4), arrivals);
}

LoadResult answered(double first_s, double gap_s, int tokens, double end_s) {
  LoadResult result{.done = true, .completion_tokens = tokens, .end_s = end_s, .first_token_s = first_s};
  result.token_gaps.assign(static_cast<size_t>(tokens - 1), gap_s);
  return result;
}

TEST(LoadResult, ATokensTimeIsTheMeanAfterTheFirst) {
  EXPECT_DOUBLE_EQ(answered(9, 0.25, 5, 10).time_per_token_s(), 0.25);
  LoadResult two_in_one_piece = answered(9, 0.25, 3, 10);
  two_in_one_piece.completion_tokens = 5;  // pieces of text are fewer than tokens
  EXPECT_DOUBLE_EQ(two_in_one_piece.time_per_token_s(), 0.125);
  EXPECT_EQ(answered(9, 0.25, 1, 10).time_per_token_s(), 0);
}

TEST(LoadSummary, GoodputCountsRequestsThatKeepBothObjectives) {
  const std::vector<LoadResult> results = {answered(0.1, 0.01, 11, 2),               // keeps both
                                           answered(0.3, 0.01, 11, 4),               // its first token is late
                                           answered(0.1, 0.08, 11, 5),               // its tokens are slow
                                           answered(0.2, 0.05, 11, 3),               // keeps both, just
                                           LoadResult{.error = "503"}};              // failed
  const LoadSummary sum = summarize(results, {.ttft_ms = 200, .tpot_ms = 50.0001});  // a mean of ten 0.05 rounds
  EXPECT_EQ(sum.requests, 5u);
  EXPECT_EQ(sum.failed, 1u);
  EXPECT_DOUBLE_EQ(sum.seconds, 5);
  EXPECT_DOUBLE_EQ(sum.requests_per_s, 4.0 / 5);
  EXPECT_DOUBLE_EQ(sum.tokens_per_s, 44.0 / 5);
  EXPECT_DOUBLE_EQ(sum.goodput_rps, 2.0 / 5);
  EXPECT_DOUBLE_EQ(sum.ttft_p50_ms, 100);
  EXPECT_DOUBLE_EQ(sum.ttft_p99_ms, 300);
  EXPECT_NEAR(sum.tpot_p99_ms, 80, 1e-9);
  EXPECT_DOUBLE_EQ(sum.itl_p50_ms, 10);
  EXPECT_EQ(summarize({}, {}).goodput_rps, 0);
}

// A stop cannot be taken back, so a process of its own gets it.
TEST(RunLoadDeathTest, AStopEndsItBeforeTheNextRequest) {
  const auto run_after_a_stop = [] {
    request_stop();
    try {
      run_load({.port = 1}, {{.arrival_s = 5, .body = "{}"}});
    } catch (const Error&) {
      std::_Exit(0);
    }
    std::_Exit(1);
  };
  EXPECT_EXIT(run_after_a_stop(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace starling

// The router and the rows of a mixture of experts against their formulas, written plainly, and finite differences.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "core/random.h"
#include "ops/elementwise.h"
#include "ops/expert_rows.h"
#include "ops/gradient_check.h"
#include "ops/router.h"
#include "tensor/buffer.h"

namespace starling {
namespace {

constexpr int64_t kTokens = 37, kExperts = 5, kChosen = 2, kChannels = 11;

Tensor view(std::vector<float>& values, Shape shape) { return {values.data(), DType::f32, shape}; }
Tensor view(std::vector<int32_t>& values, Shape shape) { return {values.data(), DType::i32, shape}; }

std::vector<float> normal(int64_t count, uint64_t stream) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = random_normal(3, stream, i);
  return values;
}

struct Routing {
  int64_t N, E, K;
  std::vector<float> logits = normal(N * E, 1), p = logits, w = std::vector<float>(static_cast<size_t>(N * K));
  std::vector<int32_t> chosen = std::vector<int32_t>(w.size()), rows = chosen,
                       load = std::vector<int32_t>(static_cast<size_t>(E));

  explicit Routing(int64_t N = kTokens, int64_t E = kExperts, int64_t K = kChosen) : N(N), E(E), K(K) {}
  ExpertWeights weights = ExpertWeights::shares;
  void run() {
    router_forward(view(p, {N, E}), view(w, {N, K}), view(chosen, {N, K}), view(logits, {N, E}), weights);
    sort_expert_rows(view(rows, {N, K}), view(load, {E}), view(chosen, {N, K}));
  }
  double imbalance() { return router_imbalance(view(p, {N, E}), view(load, {E})); }
};

void expect_slopes(std::vector<float>& x, const std::vector<float>& slopes, const std::function<double()>& f) {
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(central_difference(x, i, f), static_cast<double>(slopes[i]), 1e-3) << i;
}

// The plain way: all experts sorted by logit, the softmax of the first K.
TEST(Router, TakesTheLargestLogitsAndTheirOwnSoftmax) {
  for (const int64_t K : {1, 2, 5}) {
    Routing r(kTokens, kExperts, K);
    r.run();
    for (int64_t n = 0; n < r.N; ++n) {
      std::vector<int32_t> order(static_cast<size_t>(r.E));
      std::iota(order.begin(), order.end(), 0);
      const float* row = r.logits.data() + n * r.E;
      std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return row[a] > row[b]; });
      double sum = 0;
      for (int64_t k = 0; k < K; ++k) sum += std::exp(static_cast<double>(row[order[static_cast<size_t>(k)]]));
      for (int64_t k = 0; k < K; ++k) {
        const auto i = static_cast<size_t>(n * K + k);
        EXPECT_EQ(r.chosen[i], order[static_cast<size_t>(k)]);
        EXPECT_NEAR(r.w[i], std::exp(static_cast<double>(row[r.chosen[i]])) / sum, 1e-6);
      }
    }
  }
}

TEST(Router, ProbabilitiesAreThoseAmongAllExperts) {
  Routing shares, r;
  r.weights = ExpertWeights::probabilities;
  shares.run(), r.run();
  EXPECT_EQ(r.chosen, shares.chosen);
  for (size_t i = 0; i < r.w.size(); ++i) {
    const size_t n = i / kChosen;
    double sum = 0;
    for (int64_t e = 0; e < kExperts; ++e)
      sum += std::exp(static_cast<double>(r.logits[n * kExperts + static_cast<size_t>(e)]));
    const float logit = r.logits[n * kExperts + static_cast<size_t>(r.chosen[i])];
    EXPECT_NEAR(r.w[i], std::exp(static_cast<double>(logit)) / sum, 1e-6);
  }
}

TEST(Router, OfEqualExpertsTheFirstAreTaken) {
  Routing r(1, 4, 2);
  r.logits = {1, 3, 3, 3};
  r.run();
  EXPECT_EQ(r.chosen, (std::vector<int32_t>{1, 2}));
  r.logits = {0, 0, 0, 0};
  r.run();
  EXPECT_EQ(r.chosen, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(r.w, (std::vector<float>{0.5f, 0.5f}));
}

TEST(Router, TheImbalanceIsKWhenEvenAndEWhenOneExpertTakesAll) {
  Routing even(4, 4, 1);
  even.logits.assign(16, 0);
  for (size_t n = 0; n < 4; ++n) even.logits[n * 5] = 1;  // every expert is one token's
  even.run();
  EXPECT_NEAR(even.imbalance(), 1.0, 1e-6);
  Routing one(4, 4, 1);
  one.logits.assign(16, -50);
  for (size_t n = 0; n < 4; ++n) one.logits[n * 4 + 2] = 50;
  one.run();
  EXPECT_NEAR(one.imbalance(), 4.0, 1e-6);
  EXPECT_EQ(one.load, (std::vector<int32_t>{0, 0, 4, 0}));
}

class RouterGradients : public testing::TestWithParam<ExpertWeights> {};

TEST_P(RouterGradients, MatchFiniteDifferences) {
  Routing r;
  r.weights = GetParam();
  r.run();
  // What is chosen is raised, so that a step of 1e-2 turns no choice over: there it would have no slope.
  for (size_t i = 0; i < r.chosen.size(); ++i)
    r.logits[i / kChosen * kExperts + static_cast<size_t>(r.chosen[i])] += 0.05f;
  r.run();
  const std::vector<float> dw = normal(r.N * r.K, 2);
  std::vector<float> dlogits(r.logits.size());
  router_backward(view(dlogits, {r.N, r.E}), {dw.data(), DType::f32, {r.N, r.K}}, view(r.p, {r.N, r.E}),
                  view(r.w, {r.N, r.K}), view(r.chosen, {r.N, r.K}), view(r.load, {r.E}), r.weights, 3.0f);
  const std::vector<int32_t> chosen = r.chosen;
  expect_slopes(r.logits, dlogits, [&] {
    r.run();
    EXPECT_EQ(r.chosen, chosen);
    return dot(r.w, dw) + 3.0 * r.imbalance();
  });
}

INSTANTIATE_TEST_SUITE_P(EitherKind, RouterGradients,
                         testing::Values(ExpertWeights::shares, ExpertWeights::probabilities));

TEST(ExpertRows, AreEveryTokensOnceAnExpertInOrder) {
  Routing r;
  r.run();
  EXPECT_EQ(std::accumulate(r.load.begin(), r.load.end(), 0), r.N * r.K);
  std::vector<int32_t> token_of(r.rows.size(), -1), expert_of(r.rows.size(), -1);
  for (size_t i = 0; i < r.rows.size(); ++i) {
    const auto row = static_cast<size_t>(r.rows[i]);
    EXPECT_EQ(token_of[row], -1) << "two tokens in row " << row;
    token_of[row] = static_cast<int32_t>(i / kChosen), expert_of[row] = r.chosen[i];
  }
  EXPECT_TRUE(std::is_sorted(expert_of.begin(), expert_of.end()));
  for (size_t row = 1; row < token_of.size(); ++row)
    EXPECT_TRUE(expert_of[row] != expert_of[row - 1] || token_of[row - 1] < token_of[row]) << row;
  for (int32_t e = 0; e < kExperts; ++e)
    EXPECT_EQ(std::count(expert_of.begin(), expert_of.end(), e), r.load[static_cast<size_t>(e)]);
  r.chosen[3] = kExperts;
  EXPECT_THROW(sort_expert_rows(view(r.rows, {r.N, r.K}), view(r.load, {r.E}), view(r.chosen, {r.N, r.K})), DataError);
}

TEST(ExpertRows, AreGatheredAndCombinedByTheirFormulas) {
  Routing r;
  r.run();
  const Shape tokens = {r.N, kChannels}, matrix = {r.N * r.K, kChannels};
  std::vector<float> x = normal(tokens.elements(), 4), y(static_cast<size_t>(matrix.elements())),
                     sum = normal(tokens.elements(), 5), wanted = sum;
  gather_expert_rows(view(y, matrix), view(x, tokens), view(r.rows, {r.N, r.K}));
  combine_expert_rows(view(sum, tokens), view(y, matrix), view(r.rows, {r.N, r.K}), view(r.w, {r.N, r.K}));
  for (int64_t i = 0; i < r.N * r.K; ++i)
    for (int64_t c = 0; c < kChannels; ++c) {
      const float value = x[static_cast<size_t>(i / r.K * kChannels + c)];
      EXPECT_EQ(y[static_cast<size_t>(r.rows[static_cast<size_t>(i)] * kChannels + c)], value);
      wanted[static_cast<size_t>(i / r.K * kChannels + c)] += r.w[static_cast<size_t>(i)] * value;
    }
  for (size_t i = 0; i < sum.size(); ++i) EXPECT_NEAR(sum[i], wanted[i], 1e-6f);
}

TEST(ExpertRows, GradientsMatchFiniteDifferences) {
  Routing r;
  r.run();
  const Shape tokens = {r.N, kChannels}, matrix = {r.N * r.K, kChannels}, pairs = {r.N, r.K};
  const auto rows = view(r.rows, pairs);
  std::vector<float> x = normal(matrix.elements(), 4), dx(x.size()), dw(r.w.size());
  std::vector<float> dy = normal(tokens.elements(), 5);
  combine_expert_rows_backward(view(dx, matrix), view(dw, pairs), view(dy, tokens), view(x, matrix), rows,
                               view(r.w, pairs));
  const auto combined = [&] {
    std::vector<float> y(dy.size());
    combine_expert_rows(view(y, tokens), view(x, matrix), rows, view(r.w, pairs));
    return dot(y, dy);
  };
  expect_slopes(x, dx, combined);
  expect_slopes(r.w, dw, combined);
  std::vector<float> token = normal(tokens.elements(), 6), dtoken(token.size()), drow = normal(matrix.elements(), 7);
  gather_expert_rows_backward(view(dtoken, tokens), view(drow, matrix), rows);
  expect_slopes(token, dtoken, [&] {
    gather_expert_rows(view(x, matrix), view(token, tokens), rows);
    return dot(x, drow);
  });
}

TEST(ExpertRows, InBf16AreThoseOfF32Rounded) {
  Routing r;
  r.run();
  const Shape tokens = {r.N, kChannels}, matrix = {r.N * r.K, kChannels};
  std::vector<float> x = normal(matrix.elements(), 4), y(static_cast<size_t>(tokens.elements())), low_y = y;
  Buffer low(DType::bf16, matrix);
  convert(low.tensor(), view(x, matrix));
  convert(view(x, matrix), low.tensor());  // values that bf16 holds
  combine_expert_rows(view(y, tokens), view(x, matrix), view(r.rows, {r.N, r.K}), view(r.w, {r.N, r.K}));
  combine_expert_rows(view(low_y, tokens), low.tensor(), view(r.rows, {r.N, r.K}), view(r.w, {r.N, r.K}));
  EXPECT_EQ(y, low_y);
}

TEST(Router, RefusesShapesThatDoNotFit) {
  Routing r;
  EXPECT_THROW(router_forward(view(r.p, {r.N, r.E}), view(r.w, {r.N, r.K}), view(r.chosen, {r.N, 1}),
                              view(r.logits, {r.N, r.E}), r.weights),
               ShapeError);
  EXPECT_THROW(Routing(3, 2, 3).run(), ShapeError);
}

}  // namespace
}  // namespace starling

#include "infer/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/error.h"
#include "infer/vector_math.h"

namespace starling {
namespace {

// Probabilities 0.5, 0.25, 0.15, 0.1 at temperature 1.
const std::vector<float> kLogits{std::log(0.15f), std::log(0.5f), std::log(0.1f), std::log(0.25f)};

std::map<TokenId, int> draw(const SamplingOptions& options, int count = 4000) {
  std::map<TokenId, int> counts;
  for (int i = 0; i < count; ++i) ++counts[sample(kLogits, options, static_cast<uint64_t>(i))];
  return counts;
}

TEST(Sampler, TemperatureZeroTakesTheLargestAndTheFirstOfEquals) {
  EXPECT_EQ(sample(kLogits, {.temperature = 0}, 0), 1);
  EXPECT_EQ(sample(std::vector<float>{1, 2, 2}, {.temperature = 0}, 0), 1);
}

TEST(Sampler, ATemperatureThatIsNoNormalNumberTakesTheLargestToo) {  // 1 / 1e-40 is infinite in f32
  for (const SamplingOptions& options :
       {SamplingOptions{.temperature = 1e-40f}, {.temperature = 1e-40f, .top_p = 0.5f}})
    EXPECT_EQ(sample(kLogits, options, 0), 1);
}

// 4,000 draws: the deviation of a frequency is at most 0.008; five of them are allowed.
TEST(Sampler, DrawsFollowTheProbabilities) {
  std::map<TokenId, int> counts = draw({.temperature = 1});
  EXPECT_NEAR(counts[1] / 4000.0, 0.5, 0.04);
  EXPECT_NEAR(counts[3] / 4000.0, 0.25, 0.04);
  EXPECT_NEAR(counts[0] / 4000.0, 0.15, 0.04);
  EXPECT_NEAR(counts[2] / 4000.0, 0.1, 0.04);
}

TEST(Sampler, TemperatureSharpensByItsInversePower) {  // T = 1/2: squares 0.25, 0.0625, 0.0225, 0.01 of 0.345
  EXPECT_NEAR(draw({.temperature = 0.5f})[1] / 4000.0, 0.25 / 0.345, 0.04);
}

TEST(Sampler, EachFilterKeepsTheTokensItSays) {
  struct Case {
    SamplingOptions options;
    std::vector<TokenId> kept;
  };
  const Case cases[] = {
      {{.temperature = 1, .top_k = 2}, {1, 3}},
      {{.temperature = 1, .top_k = 9}, {0, 1, 2, 3}},
      {{.temperature = 1, .top_p = 0.5f}, {1}},
      {{.temperature = 1, .top_p = 0.6f}, {1, 3}},
      {{.temperature = 1, .top_p = 0.8f}, {0, 1, 3}},
      {{.temperature = 1, .min_p = 0.4f}, {1, 3}},
      {{.temperature = 1, .min_p = 1.0f}, {1}},
      {{.temperature = 1, .top_k = 3, .top_p = 0.7f}, {1, 3}},  // 0.5 and 0.25 are 0.83 of the three
  };
  for (const Case& c : cases) {
    std::vector<TokenId> seen;
    for (const auto& [id, count] : draw(c.options, 500)) seen.push_back(id);
    EXPECT_EQ(seen, c.kept) << c.options.top_k << " " << c.options.top_p << " " << c.options.min_p;
  }
}

TEST(Sampler, TheSameSeedAndIndexGiveTheSameToken) {
  const SamplingOptions options{.temperature = 1, .seed = 5}, other{.temperature = 1, .seed = 6};
  int differences = 0;
  for (uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(sample(kLogits, options, i), sample(kLogits, options, i));
    differences += sample(kLogits, options, i) != sample(kLogits, other, i);
  }
  EXPECT_GT(differences, 20);
}

TEST(Sampler, ScoresAreLogSoftmaxAndRankTheMostProbable) {
  const ScoredToken scored = score_token(kLogits, 3, 2);
  EXPECT_NEAR(scored.logprob, std::log(0.25), 1e-6);  // f32 logits below 3
  ASSERT_EQ(scored.top.size(), 2u);
  EXPECT_EQ(scored.top[0].token, 1);
  EXPECT_EQ(scored.top[1].token, 3);
  EXPECT_EQ(scored.top[1].logprob, scored.logprob);
  std::vector<float> many(1001);  // more than whole vectors of eight
  for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<float>(i % 7);
  double sum = 0;
  for (const float logit : many) sum += std::exp(static_cast<double>(logit));
  EXPECT_NEAR(score_token(many, 6, 0).logprob, 6 - std::log(sum), 1e-5);
  EXPECT_EQ(score_token(many, 6, 3).top[2].token, 20);  // equal ones rank by id: 6, 13, 20
}

TEST(TokenChooser, PenaltiesFollowTheirFormulas) {
  // Logits 2, 1.5, -1: after token 0 once, frequency 0.25 and presence 0.5 leave 1.25, so 1 is the largest.
  const std::vector<float> logits{2, 1.5f, -1};
  SamplingOptions options{.temperature = 0, .presence_penalty = 0.5f, .frequency_penalty = 0.25f};
  TokenChooser chooser(options, 10, {});
  EXPECT_EQ(chooser.choose(logits), 0);
  EXPECT_EQ(chooser.choose(logits), 1);  // 1.25 < 1.5
  EXPECT_EQ(chooser.choose(logits), 0);  // 1.25 > 0.75
  EXPECT_EQ(chooser.choose(logits), 0);  // 1.0 > 0.75
  EXPECT_EQ(chooser.choose(logits), 0);  // 0.75 = 0.75: of equals the first
  EXPECT_EQ(chooser.choose(logits), 1);  // 0.5 < 0.75
}

TEST(TokenChooser, TheRepetitionPenaltyCountsThePromptToo) {
  const std::vector<float> logits{2, 1.5f, -1};
  const std::vector<TokenId> prompt{0, 0};
  const SamplingOptions options{.temperature = 0, .repetition_penalty = 1.5f};
  TokenChooser chooser(options, 10, prompt);
  EXPECT_EQ(chooser.choose(logits), 1);  // 2 / 1.5 < 1.5
  EXPECT_EQ(chooser.choose(logits), 0);  // 1.33 > 1.5 / 1.5
}

TEST(TokenChooser, ABiasMovesALogitAndMinusInfinityForbidsIt) {
  const std::vector<float> logits{2, 1.5f, -1};
  const SamplingOptions up{.temperature = 0, .logit_bias = {{2, 100.0f}}};
  EXPECT_EQ(TokenChooser(up, 10, {}).choose(logits), 2);
  const SamplingOptions no{.temperature = 1, .logit_bias = {{0, -INFINITY}, {1, -INFINITY}}};
  TokenChooser chooser(no, 50, {});
  for (int i = 0; i < 50; ++i) EXPECT_EQ(chooser.choose(logits), 2);
}

TEST(Sampler, OptionsOutOfRangeAreConfigErrors) {
  const SamplingOptions wrong[] = {{.max_tokens = -1},
                                   {.temperature = -1},
                                   {.temperature = NAN},
                                   {.top_k = -1},
                                   {.top_p = 0},
                                   {.top_p = 1.5f},
                                   {.min_p = -0.1f},
                                   {.min_p = 2},
                                   {.presence_penalty = NAN},
                                   {.repetition_penalty = 0},
                                   {.logprobs = 21}};
  for (const SamplingOptions& options : wrong) EXPECT_THROW(check_sampling(options), ConfigError);
  EXPECT_NO_THROW(check_sampling({}));
}

TEST(VectorMath, TheLargestAndItsFirstPlaceAreFoundInEveryLengthAndPlace) {
  for (size_t size = 1; size < 100; ++size) {
    for (size_t at = 0; at < size; ++at) {
      std::vector<float> x(size, -2.0f);
      x[at] = -1.0f;
      ASSERT_EQ(max_of(x), -1.0f) << size;
      ASSERT_EQ(index_of(x, -1.0f), at) << size;
      x.back() = -1.0f;
      ASSERT_EQ(index_of(x, -1.0f), at) << size;
    }
    EXPECT_EQ(index_of(std::vector<float>(size, 1.0f), 2.0f), size);
  }
}

TEST(VectorMath, Exp8IsWithinTwoTenMillionthsOfExp) {
  for (double x = -86; x < 88; x += 0.0137) {
    float lanes[8];
    _mm256_storeu_ps(lanes, exp8(_mm256_set1_ps(static_cast<float>(x))));
    const double exact = std::exp(static_cast<double>(static_cast<float>(x)));
    EXPECT_NEAR(lanes[3] / exact, 1.0, 2e-7) << x;
  }
}

}  // namespace
}  // namespace starling

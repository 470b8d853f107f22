#include "train/bigram_start.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "core/random.h"
#include "model/transformer.h"

namespace starling {
namespace {

constexpr TokenId kBegin = 0, kEnd = 1;
constexpr int64_t kVocab = 60;

// After t come two tokens of the 58, the first in three of four cases, and in one of ten any; six tokens and the end.
std::vector<TokenId> chain(uint64_t sample) {
  std::vector<TokenId> tokens;
  TokenId at = kBegin;
  for (uint64_t i = 0; i < 6; ++i) {
    const double kind = random_uniform(1, sample, 2 * i);
    const auto any = static_cast<TokenId>(random_u64(2, sample, i) % 58);
    at = 2 + (kind < 0.1 ? any : kind < 0.325 ? (at * 7 + 3) % 58 : (at * 5 + 1) % 58);
    tokens.push_back(at);
  }
  tokens.push_back(kEnd);
  return tokens;
}

SampleSource chains(uint64_t count) {
  return {count, [](uint64_t i) { return Sample{chain(i), 6, static_cast<int64_t>(i), "post", "author"}; }, {}};
}

ModelConfig small(int64_t width) {
  ModelConfig config;
  config.vocab_size = kVocab;
  config.hidden_size = width;
  config.intermediate_size = 64;
  config.num_layers = 2;
  config.num_heads = config.num_kv_heads = 2;
  config.max_positions = 8;
  return config;
}

std::vector<float> values_of(const Parameters& parameters) {
  const float* values = parameters.values().as<float>();
  return {values, values + parameters.values().elements()};
}

// Nats a token of `count` chains that the start did not count.
double nats_of_new_chains(Transformer& model, int64_t count) {
  double nats = 0;
  for (int64_t s = 0; s < count; ++s) {
    Batch batch{1, 7, {}, {}, {}, std::vector<int32_t>(7, 0)};
    for (const TokenId token : chain(1'000'000 + static_cast<uint64_t>(s))) {
      batch.tokens.push_back(batch.targets.empty() ? static_cast<int32_t>(kBegin) : batch.targets.back());
      batch.positions.push_back(static_cast<int32_t>(batch.targets.size()));
      batch.targets.push_back(static_cast<int32_t>(token));
    }
    for (const float token : model.score(batch)) nats += static_cast<double>(token);
  }
  return nats / static_cast<double>(7 * count);
}

TEST(BigramStart, AModelThatIsWideEnoughBeginsAsTheBigramsOfTheData) {
  // Without the end, which comes at every seventh place: the chain's own entropy is 0.8 to 1.1 nats, log 58 is 4.1.
  Transformer model(small(64), DType::f32, 8);
  model.parameters().initialize(1);
  const double random = nats_of_new_chains(model, 200);
  EXPECT_EQ(start_from_bigrams(model.parameters(), small(64), chains(4000), 1, kBegin), 4000);
  const double wide = nats_of_new_chains(model, 200);
  EXPECT_GT(random, 4.0);
  EXPECT_LT(wide, 1.7);

  Transformer narrow(small(16), DType::f32, 8);
  narrow.parameters().initialize(1);
  start_from_bigrams(narrow.parameters(), small(16), chains(4000), 1, kBegin);
  const double held = nats_of_new_chains(narrow, 200);
  EXPECT_GT(held, wide);  // sixteen directions do not hold it all
  EXPECT_LT(held, random - 0.5);
}

TEST(BigramStart, TheSameArgumentsGiveTheSameBits) {
  Parameters a(small(32), DType::f32), b(small(32), DType::f32);
  for (Parameters* parameters : {&a, &b}) {
    parameters->initialize(1);
    start_from_bigrams(*parameters, small(32), chains(300), 1, kBegin);
  }
  EXPECT_EQ(values_of(a), values_of(b));
}

TEST(BigramStart, AMaskedSampleLeavesNoTrace) {
  SampleSource masked = chains(300), other = chains(300);
  masked.is_masked = other.is_masked = [](const Sample& sample) { return sample.time_s == 7; };
  other.read = [](uint64_t i) {
    return Sample{i == 7 ? std::vector<TokenId>{50, 50, 50, kEnd} : chain(i), 6, static_cast<int64_t>(i), "post",
                  "author"};
  };
  Parameters a(small(32), DType::f32), b(small(32), DType::f32);
  a.initialize(1), b.initialize(1);
  start_from_bigrams(a, small(32), masked, 1, kBegin);
  start_from_bigrams(b, small(32), other, 1, kBegin);
  EXPECT_EQ(values_of(a), values_of(b));
  other.is_masked = {};
  start_from_bigrams(b, small(32), other, 1, kBegin);
  EXPECT_NE(values_of(a), values_of(b));
}

TEST(BigramStart, FewerDirectionsInTheDataThanInTheModelStayFinite) {
  for (const uint64_t samples : {1, 3}) {
    Parameters parameters(small(128), DType::f32);
    parameters.initialize(1);
    start_from_bigrams(parameters, small(128), chains(samples), 1, kBegin);
    for (const float value : values_of(parameters)) ASSERT_TRUE(std::isfinite(value));
  }
}

}  // namespace
}  // namespace starling

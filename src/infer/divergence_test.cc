#include "infer/divergence.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "core/error.h"
#include "core/stop.h"
#include "infer/test_model.h"

namespace starling {
namespace {

Decoder decoder_of(const TestModel& model, WeightForm form) {
  return {small_config(), load_weights(*open_weights(model.folder(), small_config()), small_config(), form)};
}

TEST(Divergence, IsZeroBetweenEqualsAndGrowsWithFewerBits) {
  const TestModel model;
  Decoder bf16 = decoder_of(model, WeightForm::bf16), same = decoder_of(model, WeightForm::bf16),
          int8 = decoder_of(model, WeightForm::int8), int4 = decoder_of(model, WeightForm::int4);
  std::vector<std::vector<TokenId>> samples(2);
  for (int i = 0; i < 100; ++i) samples[i % 2].push_back(static_cast<TokenId>(random_u64(2, 3, i) % 290));
  const Divergence none = measure_divergence(bf16, same, samples);
  EXPECT_EQ(none.positions, 98);
  EXPECT_EQ(none.mean_kl, 0.0);
  EXPECT_EQ(none.same_first, 1.0);
  EXPECT_EQ(none.reference_nats, none.other_nats);
  const double eight = measure_divergence(bf16, int8, samples).mean_kl,
               four = measure_divergence(bf16, int4, samples).mean_kl;
  EXPECT_GT(eight, 0);
  EXPECT_GT(four, 2 * eight);  // a step is 16 times as wide
  const double cache = measure_divergence(bf16, same, samples, CacheForm::int8).mean_kl;
  EXPECT_GT(cache, 0);
  EXPECT_LT(cache, eight) << "keys and values in 8 bits move less than all weights and activations in 8 bits";
  EXPECT_THROW(measure_divergence(bf16, int8, {{1}}), DataError);
}

// A stop cannot be taken back, so a process of its own gets it.
TEST(DivergenceDeathTest, AStopEndsTheComparison) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto compare_after_a_stop = [] {
    const TestModel model;
    Decoder bf16 = decoder_of(model, WeightForm::bf16), same = decoder_of(model, WeightForm::bf16);
    request_stop();
    try {
      measure_divergence(bf16, same, {{1, 2, 3}});
    } catch (const Error&) {
      std::_Exit(0);
    }
    std::_Exit(1);
  };
  EXPECT_EXIT(compare_after_a_stop(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace starling

#include "train/sample_source.h"

#include <gtest/gtest.h>

namespace starling {
namespace {

SampleSource numbered(uint64_t count) {
  return {count,
          [](uint64_t index) {
            Sample sample;
            sample.time_s = static_cast<int64_t>(index);
            return sample;
          },
          [](const Sample& sample) { return sample.time_s == 4; }};
}

std::vector<int64_t> times(const SampleSource& source) {
  std::vector<int64_t> all;
  for (uint64_t i = 0; i < source.count; ++i) all.push_back(source.read(i).time_s);
  return all;
}

TEST(SampleSource, GivesTheNewestOrSomeEvenlySpaced) {
  EXPECT_EQ(times(newest_of(numbered(5), 2)), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(times(spread_of(numbered(10), 4)), (std::vector<int64_t>{0, 2, 5, 7}));
  for (const uint64_t all : {0, 5, 6}) {
    EXPECT_EQ(newest_of(numbered(5), all).count, 5u);
    EXPECT_EQ(spread_of(numbered(5), all).count, 5u);
  }
  const SampleSource masked = spread_of(newest_of(numbered(5), 4), 2);
  EXPECT_FALSE(masked.is_masked(masked.read(0)));
  EXPECT_TRUE(newest_of(numbered(5), 1).is_masked(newest_of(numbered(5), 1).read(0)));
}

TEST(SampleSource, GivesTheSamePostsInAnotherModelsTokens) {
  const auto trained_on = [](const std::string& word) {
    int left = 50;
    return train_byte_level_bpe(
        [&](std::string& text) {
          text = word;
          return left-- > 0;
        },
        280);
  };
  const std::string text = "early birds sing";
  const auto here = trained_on("early early"), there = trained_on("birds birds");
  SampleSource source{1, [&](uint64_t) {
                        Sample sample{.tokens = here->encode(text), .text_bytes = 16, .post_id = "p"};
                        sample.tokens.push_back(*here->special_id(kEndToken));
                        return sample;
                      }};
  const Sample sample = retokenized(source, *here, *there, 77).read(0);
  std::vector<TokenId> expected = there->encode(text);
  EXPECT_NE(expected, here->encode(text));
  expected.push_back(77);
  EXPECT_EQ(sample.tokens, expected);
  EXPECT_EQ(sample.text_bytes, 16u);
  EXPECT_EQ(sample.post_id, "p");
}

}  // namespace
}  // namespace starling

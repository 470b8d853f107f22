#include "train/data_loader.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/error.h"

namespace starling {
namespace {

// Sample i has i % 7 + 2 tokens: 100 i, 100 i + 1, ..., and the end token 2.
SampleSource numbered(uint64_t count) {
  return {count,
          [](uint64_t i) {
            Sample s;
            for (uint64_t t = 0; t < i % 7 + 1; ++t) s.tokens.push_back(static_cast<TokenId>(100 * (i + 1) + t));
            s.tokens.push_back(2);
            s.time_s = static_cast<int64_t>(i);
            return s;
          },
          {}};
}

TEST(EpochOrder, IsAPermutationThatChangesWithEpochAndSeed) {
  const auto order = epoch_order(1000, 1, 0);
  EXPECT_EQ(std::set<uint32_t>(order.begin(), order.end()).size(), 1000u);
  EXPECT_EQ(order, epoch_order(1000, 1, 0));
  EXPECT_NE(order, epoch_order(1000, 1, 1));
  EXPECT_NE(order, epoch_order(1000, 2, 0));
}

TEST(DataLoader, EveryTokenOfAnEpochIsATargetOnceAndFollowsItsInput) {
  DataLoader loader(numbered(20), 1, 1);
  std::map<int32_t, int> targets;
  while (loader.cursor().epoch == 0) {
    const Batch b = loader.next(1, 8);
    for (size_t i = 0; i < 8; ++i) {
      EXPECT_TRUE(b.positions[i] == 0 || b.tokens[i] == b.targets[i - 1]);
      EXPECT_EQ(static_cast<int32_t>(i) - b.document_starts[i], b.positions[i]);
      if (b.targets[i] >= 100) ++targets[b.targets[i]];
      EXPECT_TRUE(b.targets[i] % 100 != 0 || b.tokens[i] == 1);  // a sample starts after the begin token
    }
  }
  for (uint64_t i = 0; i < 20; ++i)
    for (uint64_t t = 0; t < i % 7 + 1; ++t)
      EXPECT_GE(targets[static_cast<int32_t>(100 * (i + 1) + t)], 1) << i << " " << t;
}

TEST(DataLoader, GoesOnFromItsCursorWithTheSameBatches) {
  DataLoader whole(numbered(50), 3, 1);
  for (int i = 0; i < 17; ++i) whole.next(2, 9);
  DataLoader resumed(numbered(50), 3, 1, whole.cursor());
  for (int i = 0; i < 17; ++i) {
    const Batch a = whole.next(2, 9), b = resumed.next(2, 9);
    EXPECT_EQ(a.tokens, b.tokens);
    EXPECT_EQ(a.targets, b.targets);
    EXPECT_EQ(a.positions, b.positions);
  }
}

TEST(DataLoader, AMaskedSampleIsNeverRead) {
  SampleSource source = numbered(20);
  source.is_masked = [](const Sample& s) { return s.time_s == 4; };
  std::set<int64_t> read;
  DataLoader loader(source, 1, 1, {}, [&](const Sample& s) { read.insert(s.time_s); });
  loader.next(1, 8);
  EXPECT_LT(read.size(), 9u);
  while (loader.cursor().epoch < 2)
    for (int32_t target : loader.next(1, 8).targets) EXPECT_NE(target / 100, 5);
  EXPECT_EQ(read.size(), 19u);
  EXPECT_FALSE(read.contains(4));
}

TEST(DataLoader, NothingToTrainOnIsAnError) {
  EXPECT_THROW(DataLoader(numbered(0), 1, 1), DataError);
  SampleSource source = numbered(5);
  source.is_masked = [](const Sample&) { return true; };
  EXPECT_THROW(DataLoader(source, 1, 1).next(1, 8), DataError);
}

}  // namespace
}  // namespace starling

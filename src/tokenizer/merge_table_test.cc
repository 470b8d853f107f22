#include "tokenizer/merge_table.h"

#include <gtest/gtest.h>

#include "core/random.h"

namespace starling {
namespace {

using Symbols = std::vector<TokenId>;

Symbols applied(const MergeTable& table, Symbols symbols) {
  table.apply(symbols);
  return symbols;
}

TEST(MergeTable, AppliesTheSmallestRankFirstAndTheLeftmostOnTies) {
  // 0 1 2 -> (1 2) has rank 0, so (0 1) never happens.
  const MergeTable table(
      {{.left = 1, .right = 2, .merged = 12, .rank = 0}, {.left = 0, .right = 1, .merged = 10, .rank = 1}});
  EXPECT_EQ(applied(table, {0, 1, 2}), (Symbols{0, 12}));
  EXPECT_EQ(applied(table, {0, 1, 0}), (Symbols{10, 0}));
  const MergeTable same({{.left = 5, .right = 5, .merged = 6, .rank = 0}});
  EXPECT_EQ(applied(same, {5, 5, 5}), (Symbols{6, 5}));
  const MergeTable tie(
      {{.left = 1, .right = 2, .merged = 12, .rank = 0}, {.left = 0, .right = 1, .merged = 10, .rank = 0}});
  EXPECT_EQ(applied(tie, {0, 1, 2}), (Symbols{10, 2}));
}

TEST(MergeTable, LeavesNothingAndOneSymbolAlone) {
  const MergeTable table({{.left = 1, .right = 2, .merged = 3, .rank = 0}});
  EXPECT_EQ(applied(table, {}), Symbols{});
  EXPECT_EQ(applied(table, {1}), Symbols{1});
}

// The definition, by rescanning the whole sequence after each merge.
Symbols merged_by_definition(const std::vector<Merge>& merges, Symbols symbols) {
  for (;;) {
    const Merge* best = nullptr;
    size_t position = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      for (const Merge& merge : merges) {
        const bool match = merge.left == symbols[i] && merge.right == symbols[i + 1];
        if (match && (!best || merge.rank < best->rank)) best = &merge, position = i;
      }
    }
    if (!best) return symbols;
    symbols[position] = best->merged;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(position) + 1);
  }
}

TEST(MergeTable, EqualsTheDefinitionOnRandomSequences) {
  for (uint64_t round = 0; round < 300; ++round) {
    std::vector<Merge> merges;
    for (uint64_t i = 0; i < 12; ++i) {
      const auto pick = [&](uint64_t salt, uint64_t bound) {
        return static_cast<TokenId>(random_u64(11, round, i * 4 + salt) % bound);
      };
      Merge merge{
          .left = pick(0, 4 + i), .right = pick(1, 4 + i), .merged = static_cast<TokenId>(4 + i), .rank = pick(2, 6)};
      const bool known = std::any_of(merges.begin(), merges.end(), [&](const Merge& other) {
        return other.left == merge.left && other.right == merge.right;
      });
      if (!known) merges.push_back(merge);
    }
    Symbols symbols;
    for (uint64_t i = 0; i < 40; ++i) symbols.push_back(static_cast<TokenId>(random_u64(12, round, i) % 4));
    EXPECT_EQ(applied(MergeTable(merges), symbols), merged_by_definition(merges, symbols)) << "round " << round;
  }
}

}  // namespace
}  // namespace starling

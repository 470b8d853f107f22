#include "tokenizer/merge_table.h"

#include <gtest/gtest.h>

#include <bit>

#include "core/random.h"

namespace starling {
namespace {

using Symbols = std::vector<TokenId>;

Symbols applied(const MergeTable& table, Symbols symbols) {
  MergeScratch scratch;
  symbols.resize(table.apply(symbols, scratch));
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
    const uint64_t length = round % 2 ? 40 : 120;  // few and many symbols are merged in different ways
    for (uint64_t i = 0; i < length; ++i) symbols.push_back(static_cast<TokenId>(random_u64(12, round, i) % 4));
    EXPECT_EQ(applied(MergeTable(merges), symbols), merged_by_definition(merges, symbols)) << "round " << round;
  }
}

TEST(MergeTable, LooksUpAtMostThreePairsASymbol) {
  std::vector<Merge> merges;
  for (TokenId id = 0; id < 20; ++id) merges.push_back({.left = id, .right = id, .merged = id + 1, .rank = id});
  const MergeTable table(merges);
  for (const size_t size : {size_t{7}, size_t{48}, size_t{49}, size_t{1} << 20}) {
    MergeScratch scratch;
    Symbols symbols(size, 0);
    EXPECT_EQ(table.apply(symbols, scratch), static_cast<size_t>(std::popcount(size)));
    EXPECT_LE(scratch.candidates(), 3 * size);
  }
}

}  // namespace
}  // namespace starling

#include "tokenizer/merge_table.h"

#include <limits>
#include <queue>
#include <tuple>

#include "core/error.h"

namespace starling {
namespace {

uint64_t pair_key(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

struct Candidate {
  int32_t rank;
  int32_t position;  // of the left symbol
  const Merge* merge;
  bool operator>(const Candidate& other) const {
    return std::tie(rank, position) > std::tie(other.rank, other.position);
  }
};

constexpr int32_t kNone = -1;
constexpr TokenId kRemoved = -2;  // the symbol was merged into its left neighbour

struct Neighbours {
  int32_t previous, next;
};

}  // namespace

MergeTable::MergeTable(std::vector<Merge> merges) : merges_(std::move(merges)) {
  by_pair_.reserve(merges_.size());
  for (uint32_t i = 0; i < merges_.size(); ++i) by_pair_.emplace(pair_key(merges_[i].left, merges_[i].right), i);
}

const Merge* MergeTable::find(TokenId left, TokenId right) const {
  const auto found = by_pair_.find(pair_key(left, right));
  return found == by_pair_.end() ? nullptr : &merges_[found->second];
}

void MergeTable::apply(std::vector<TokenId>& symbols) const {
  if (symbols.size() < 2) return;
  if (symbols.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    throw DataError("a text of more than 2^31 symbols without a break cannot be tokenized; split it");
  }
  const auto count = static_cast<int32_t>(symbols.size());
  std::vector<Neighbours> list(symbols.size());
  for (int32_t i = 0; i < count; ++i) list[i] = {i - 1, i + 1 < count ? i + 1 : kNone};

  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto consider = [&](int32_t left, int32_t right) {
    if (left == kNone || right == kNone) return;
    if (const Merge* merge = find(symbols[left], symbols[right])) candidates.push({merge->rank, left, merge});
  };
  for (int32_t i = 0; i + 1 < count; ++i) consider(i, i + 1);

  while (!candidates.empty()) {
    const auto [rank, left, merge] = candidates.top();
    candidates.pop();
    const int32_t right = list[left].next;
    // The pair may have changed since it was pushed.
    if (symbols[left] != merge->left || right == kNone || symbols[right] != merge->right) continue;
    symbols[left] = merge->merged;
    symbols[right] = kRemoved;
    list[left].next = list[right].next;
    if (list[right].next != kNone) list[list[right].next].previous = left;
    consider(list[left].previous, left);
    consider(left, list[left].next);
  }
  std::erase(symbols, kRemoved);
}

}  // namespace starling

// The merges of a byte-pair encoding and the algorithm that applies them, the same for both kinds of tokenizer.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace starling {

struct Merge {
  TokenId left = 0, right = 0, merged = 0;
  int32_t rank = 0;  // smaller is applied first; merges of equal rank go left to right
};

class MergeTable {
 public:
  MergeTable() = default;
  explicit MergeTable(std::vector<Merge> merges);  // the first of two merges of one pair counts

  const std::vector<Merge>& merges() const { return merges_; }

  // Applies to `symbols` the adjacent merge of smallest (rank, position) until none is left.
  // Time O(n log n) for n symbols: a heap of candidates over a doubly linked list.
  void apply(std::vector<TokenId>& symbols) const;

 private:
  const Merge* find(TokenId left, TokenId right) const;
  struct PairHash {
    size_t operator()(uint64_t pair) const { return (pair ^ pair >> 29) * 0x9E3779B97F4A7C15ull; }
  };
  std::vector<Merge> merges_;
  std::unordered_map<uint64_t, uint32_t, PairHash> by_pair_;  // index in merges_
};

}  // namespace starling

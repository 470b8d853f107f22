// The merges of a byte-pair encoding and the algorithm that applies them, the same for both kinds of tokenizer.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace starling {

struct Merge {
  TokenId left = 0, right = 0, merged = 0;
  int32_t rank = 0;  // smaller is applied first; merges of equal rank go left to right
};

// Memory that apply() reuses from call to call. One a thread.
class MergeScratch {
 public:
  uint64_t candidates() const { return candidates_; }  // pairs looked up so far: what the time is proportional to

 private:
  friend class MergeTable;
  struct Candidate {
    int32_t rank, position;  // of the left symbol
    TokenId left, right, merged;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  struct Neighbours {
    int32_t previous, next;
  };
  std::vector<Candidate> heap_;
  std::vector<Neighbours> list_;
  uint64_t candidates_ = 0;
};

class MergeTable {
 public:
  MergeTable() = default;
  explicit MergeTable(std::vector<Merge> merges);  // the first of two merges of one pair counts

  const std::vector<Merge>& merges() const { return merges_; }

  // Applies to `symbols` (ids, none negative) the adjacent merge of smallest (rank, position) until none is left, and
  // returns how many symbols remain at the front. Looks up at most 3n pairs for n symbols, in O(n log n) time: few
  // symbols are rescanned after each merge, many go through a heap of candidates over a doubly linked list.
  size_t apply(std::span<TokenId> symbols, MergeScratch& scratch) const;

 private:
  static constexpr int32_t kNoMerge = std::numeric_limits<int32_t>::max();
  struct Found {
    TokenId merged = -1;  // < 0: there is no merge
    int32_t rank = kNoMerge;
  };
  struct Slot {
    TokenId left = -1, right = -1;  // left < 0: empty
    Found found;
  };
  static constexpr size_t kFew = 48;
  // Pairs of ids below this, all pairs of bytes among them, are found by their place: they are what a piece begins
  // with.
  static constexpr TokenId kNear = 512;

  Found find(TokenId left, TokenId right, MergeScratch& scratch) const;
  static bool is_near(TokenId left, TokenId right);
  size_t home(TokenId left, TokenId right) const;
  size_t apply_to_few(std::span<TokenId> symbols, MergeScratch& scratch) const;
  size_t apply_to_many(std::span<TokenId> symbols, MergeScratch& scratch) const;

  std::vector<Merge> merges_;
  std::vector<Found> near_;     // [left][right] below kNear; empty when there are no merges
  std::vector<Slot> slots_{2};  // of the other pairs; open addressing, a power of two, at most half full
  int shift_ = 63;
};

}  // namespace starling

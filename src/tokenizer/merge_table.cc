#include "tokenizer/merge_table.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "core/error.h"

namespace starling {
namespace {

constexpr int32_t kNone = -1;
constexpr TokenId kRemoved = -2;  // the symbol was merged into its left neighbour

}  // namespace

bool MergeTable::is_near(TokenId left, TokenId right) { return left < kNear && right < kNear; }

MergeTable::MergeTable(std::vector<Merge> merges) : merges_(std::move(merges)) {
  slots_.resize(std::bit_ceil(2 * merges_.size() + 2));
  shift_ = 64 - std::countr_zero(slots_.size());
  near_.resize(merges_.empty() ? 0 : kNear * kNear);
  for (const Merge& merge : merges_) {
    const Found found{merge.merged, merge.rank};
    if (is_near(merge.left, merge.right)) {
      Found& place = near_[static_cast<size_t>(merge.left * kNear + merge.right)];
      if (place.merged < 0) place = found;
      continue;
    }
    size_t at = home(merge.left, merge.right);
    while (slots_[at].left >= 0 && (slots_[at].left != merge.left || slots_[at].right != merge.right))
      at = (at + 1) & (slots_.size() - 1);
    if (slots_[at].left < 0) slots_[at] = {merge.left, merge.right, found};
  }
}

size_t MergeTable::home(TokenId left, TokenId right) const {
  const uint64_t pair = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  return (pair ^ pair >> 29) * 0x9E3779B97F4A7C15ull >> shift_;
}

MergeTable::Found MergeTable::find(TokenId left, TokenId right, MergeScratch& scratch) const {
  ++scratch.candidates_;
  if (is_near(left, right)) return near_.empty() ? Found{} : near_[static_cast<size_t>(left * kNear + right)];
  for (size_t at = home(left, right);; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.left == left && slot.right == right) return slot.found;
    if (slot.left < 0) return {};
  }
}

size_t MergeTable::apply(std::span<TokenId> symbols, MergeScratch& scratch) const {
  if (symbols.size() < 2) return symbols.size();
  return symbols.size() <= kFew ? apply_to_few(symbols, scratch) : apply_to_many(symbols, scratch);
}

size_t MergeTable::apply_to_few(std::span<TokenId> symbols, MergeScratch& scratch) const {
  std::array<int32_t, kFew> ranks;  // of the pair that starts at a symbol
  std::array<TokenId, kFew> merged;
  size_t count = symbols.size();
  const auto look_up = [&](size_t i) {
    const Found found = find(symbols[i], symbols[i + 1], scratch);
    ranks[i] = found.rank;
    merged[i] = found.merged;
  };
  for (size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) best = ranks[i] < ranks[best] ? i : best;
    if (ranks[best] == kNoMerge) break;
    symbols[best] = merged[best];
    --count;
    for (size_t i = best + 1; i < count; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i] = ranks[i + 1];
      merged[i] = merged[i + 1];
    }
    if (best + 1 < count) look_up(best);
    if (best > 0) look_up(best - 1);
  }
  return count;
}

size_t MergeTable::apply_to_many(std::span<TokenId> symbols, MergeScratch& scratch) const {
  if (symbols.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()))
    throw DataError("a text of more than 2^31 symbols without a break cannot be tokenized; split it");
  const auto count = static_cast<int32_t>(symbols.size());
  auto& list = scratch.list_;
  auto& heap = scratch.heap_;
  list.resize(symbols.size());
  for (int32_t i = 0; i < count; ++i) list[i] = {i - 1, i + 1 < count ? i + 1 : kNone};
  heap.clear();
  const auto consider = [&](int32_t left, int32_t right) {
    if (left == kNone || right == kNone) return false;
    const Found found = find(symbols[left], symbols[right], scratch);
    if (found.merged >= 0) heap.push_back({found.rank, left, symbols[left], symbols[right], found.merged});
    return found.merged >= 0;
  };
  const auto push = [&](int32_t left, int32_t right) {
    if (consider(left, right)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  for (int32_t i = 0; i + 1 < count; ++i) consider(i, i + 1);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());

  while (!heap.empty()) {
    const MergeScratch::Candidate best = heap.front();
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    heap.pop_back();
    const int32_t left = best.position, right = list[left].next;
    // The pair may have changed since it was pushed.
    if (symbols[left] != best.left || right == kNone || symbols[right] != best.right) continue;
    symbols[left] = best.merged;
    symbols[right] = kRemoved;
    list[left].next = list[right].next;
    if (list[right].next != kNone) list[list[right].next].previous = left;
    push(list[left].previous, left);
    push(left, list[left].next);
  }
  return static_cast<size_t>(std::remove(symbols.begin(), symbols.end(), kRemoved) - symbols.begin());
}

}  // namespace starling

#include "tokenizer/word_counts.h"

#include <algorithm>

#include "core/hash.h"

namespace starling {

namespace {
constexpr size_t kFirstSlots = 1 << 12;
}

WordCounts::Slot& WordCounts::find(std::string_view word, uint64_t hash) {
  const auto tag = static_cast<uint32_t>(hash >> 32);
  for (size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
    Slot& slot = slots_[at];
    if (slot.count == 0 || (slot.tag == tag && word_of(slot) == word)) return slot;
  }
}

void WordCounts::add(std::string_view word, uint64_t count) {
  if (2 * (size_ + 1) > slots_.size()) grow();
  const uint64_t hash = hash64(word);
  Slot& slot = find(word, hash);
  if (slot.count == 0) {
    slot.begin = bytes_.size();
    slot.length = static_cast<uint32_t>(word.size());
    slot.tag = static_cast<uint32_t>(hash >> 32);
    bytes_.insert(bytes_.end(), word.begin(), word.end());
    ++size_;
  }
  slot.count += count;
}

void WordCounts::add_all(const WordCounts& other) {
  other.for_each([&](std::string_view word, uint64_t count) { add(word, count); });
}

void WordCounts::clear() { *this = WordCounts(); }

void WordCounts::grow() {
  std::vector<Slot> old(std::max(kFirstSlots, 2 * slots_.size()));
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.count == 0) continue;
    size_t at = hash64(word_of(slot)) & (slots_.size() - 1);
    while (slots_[at].count > 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = slot;
  }
}

}  // namespace starling

// Counts distinct byte strings: open addressing over one arena of bytes, with 64-bit counters.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace starling {

class WordCounts {
 public:
  void add(std::string_view word, uint64_t count = 1);
  void add_all(const WordCounts& other);

  size_t size() const { return size_; }
  size_t memory_bytes() const { return slots_.capacity() * sizeof(Slot) + bytes_.capacity(); }
  void clear();  // keeps no memory

  template <typename Visit>
  void for_each(const Visit& visit) const {  // in no particular order
    for (const Slot& slot : slots_) {
      if (slot.count > 0) visit(word_of(slot), slot.count);
    }
  }

 private:
  struct Slot {
    uint64_t count = 0;  // 0: empty
    uint64_t begin = 0;  // in bytes_
    uint32_t length = 0;
    uint32_t tag = 0;  // upper half of the hash
  };
  std::string_view word_of(const Slot& slot) const { return {bytes_.data() + slot.begin, slot.length}; }
  Slot& find(std::string_view word, uint64_t hash);
  void grow();

  std::vector<Slot> slots_;  // a power of two, at most half full
  std::vector<char> bytes_;
  size_t size_ = 0;
};

}  // namespace starling

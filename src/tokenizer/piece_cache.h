// Remembers the tokens of short pieces seen before: text repeats its words. Each entry is one cache line with the
// piece's bytes and its tokens. The cache doubles while it fills, up to 16 MB; then a new piece takes the place of an
// old one. Not thread-safe: one a thread.
#pragma once

#include <immintrin.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "tokenizer/tokenizer.h"

namespace starling {

class PieceCache {
 public:
  static constexpr size_t kLongestPiece = 31;  // bytes
  static constexpr size_t kMostTokens = 7;

  // A piece's bytes with its length, made once for find() and insert().
  class Key {
   public:
    Key() = default;
    // 1 <= size <= kLongestPiece; 32 bytes are readable at `piece`.
    Key(const char* piece, size_t size) {
      const __m256i index = _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
                                             21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
      const __m256i inside = _mm256_cmpgt_epi8(_mm256_set1_epi8(static_cast<char>(size)), index);
      const __m256i last = _mm256_setr_epi64x(0, 0, 0, static_cast<int64_t>(size << 56));
      *this = Key(
          _mm256_or_si256(_mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(piece)), inside), last));
    }

   private:
    friend class PieceCache;
    explicit Key(__m256i bytes) : bytes_(bytes) {
      alignas(32) std::array<uint64_t, 4> words;
      _mm256_store_si256(reinterpret_cast<__m256i*>(words.data()), bytes_);
      hash_ = fold(words[0] ^ 0x2D358DCCAA6C78A5ull, words[1] ^ 0x8BB84B93962EACC9ull) ^
              fold(words[2] ^ 0x4B33A62ED433D4A3ull, words[3] ^ 0x4D5A2DA51DE1AA47ull);
    }
    static uint64_t fold(uint64_t a, uint64_t b) {
      unsigned long long high = 0;
      const unsigned long long low = _mulx_u64(a, b, &high);
      return low ^ high;
    }
    __m256i bytes_{};  // the last one is the length
    uint64_t hash_ = 0;
  };

  // Begins to bring what find() will read.
  void fetch(const Key& key) const {
    _mm_prefetch(&entries_[key.hash_ & mask_], _MM_HINT_T0);
    _mm_prefetch(&entries_[(key.hash_ & mask_) ^ 1], _MM_HINT_T0);
  }

  // Writes the piece's tokens to `out`, which has room for kMostTokens + 1, and returns how many; 0 when not known.
  size_t find(const Key& key, TokenId* out) const {
    const Entry* entry = &entries_[key.hash_ & mask_];
    if (!is_of(*entry, key)) {
      entry = &entries_[(key.hash_ & mask_) ^ 1];
      if (!is_of(*entry, key)) return 0;
    }
    std::memcpy(out, entry->tokens.data(), sizeof(entry->tokens));
    return entry->count;
  }

  // The older of the two pieces that can stand here goes.
  void insert(const Key& key, const TokenId* tokens, size_t count) {
    if (count > kMostTokens) return;
    if (++inserted_ > mask_ && mask_ + 1 < kMostEntries) grow();
    Entry& first = place_of(key);
    _mm256_store_si256(reinterpret_cast<__m256i*>(first.bytes.data()), key.bytes_);
    first.count = static_cast<uint32_t>(count);
    std::memcpy(first.tokens.data(), tokens, count * sizeof(TokenId));
  }

 private:
  static constexpr size_t kMostEntries = 1 << 18;  // 16 MB
  struct alignas(64) Entry {
    std::array<char, 32> bytes{};  // no piece has length 0
    std::array<TokenId, kMostTokens> tokens{};
    uint32_t count = 0;
  };
  static bool is_of(const Entry& entry, const Key& key) {
    const __m256i bytes = _mm256_load_si256(reinterpret_cast<const __m256i*>(entry.bytes.data()));
    return _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, key.bytes_)) == -1;
  }

  // Where a new entry goes, after the one there has taken the place of its neighbour.
  Entry& place_of(const Key& key) {
    Entry& first = entries_[key.hash_ & mask_];
    entries_[(key.hash_ & mask_) ^ 1] = first;
    return first;
  }

  void grow() {
    const size_t before = mask_ + 1;
    const std::unique_ptr<Entry[]> old = std::exchange(entries_, std::make_unique<Entry[]>(2 * before));
    mask_ = 2 * before - 1;
    for (size_t i = 0; i < before; ++i) {
      if (old[i].count == 0) continue;
      place_of(Key(_mm256_load_si256(reinterpret_cast<const __m256i*>(old[i].bytes.data())))) = old[i];
    }
  }

  size_t mask_ = (1 << 12) - 1, inserted_ = 0;
  std::unique_ptr<Entry[]> entries_ = std::make_unique<Entry[]>(mask_ + 1);
};

}  // namespace starling

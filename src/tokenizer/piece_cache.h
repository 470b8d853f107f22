// Remembers the tokens of short pieces seen before: text repeats its words. Not thread-safe: one a thread.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "tokenizer/tokenizer.h"

namespace starling {

// Pieces of at most kKeyBytes - 1 bytes and kMostTokens tokens. Four of them share a place; a new one goes in front,
// and the last goes. The table doubles while it fills, up to kMostPlaces.
template <size_t kKeyBytes, size_t kMostPlaces>
class PieceTable {
 public:
  static constexpr size_t kLongestPiece = kKeyBytes - 1;
  static constexpr size_t kMostTokens = kKeyBytes / sizeof(TokenId);

  // A piece's bytes, zeros, and its length in the last byte.
  struct Key {
    std::array<uint64_t, kKeyBytes / 8> words{};
    uint64_t hash = 0;

    Key() = default;
    // 1 <= size <= kLongestPiece; kKeyBytes are readable at `piece`.
    Key(const char* piece, size_t size) {
      static constexpr auto kInside = [] {
        std::array<uint8_t, 2 * kKeyBytes> bytes{};
        std::fill_n(bytes.begin(), kKeyBytes, 0xFF);
        return bytes;
      }();
      std::array<uint64_t, kKeyBytes / 8> inside;
      std::memcpy(words.data(), piece, kKeyBytes);
      std::memcpy(inside.data(), kInside.data() + kKeyBytes - size, kKeyBytes);
      for (size_t i = 0; i < words.size(); ++i) words[i] &= inside[i];
      words.back() |= size << 56;
      hash = hash_of(words);
    }
  };

  // Begins to bring what find() will most likely read.
  void fetch(const Key& key) const {
    _mm_prefetch(reinterpret_cast<const char*>(&places_[key.hash & mask_]), _MM_HINT_T0);
  }

  // Writes the piece's tokens to `out`, which has room for kMostTokens, and returns how many; 0 when not known.
  size_t find(const Key& key, TokenId* out) {
    Place& place = places_[key.hash & mask_];
    // Both of the first are compared: which of them it is cannot be foreseen.
    const auto is_at = [&](size_t way) { return place[way].words == key.words; };
    const bool is_first = is_at(0);
    bool is_second = is_at(1);
    if (!is_first && !is_second) {
      if (is_at(2)) std::swap(place[1], place[2]);
      else if (is_at(3)) std::swap(place[1], place[3]);
      else return 0;
      is_second = true;
    }
    const Entry& entry = place[is_second ? 1 : 0];
    std::memcpy(out, entry.tokens.data(), sizeof(entry.tokens));
    size_t count = 0;
    for (const TokenId token : entry.tokens) count += token >= 0;
    return count;
  }

  // 1 <= count <= kMostTokens.
  void insert(const Key& key, const TokenId* tokens, size_t count) {
    if (++inserted_ > 2 * mask_ && mask_ + 1 < kMostPlaces) grow();
    Entry entry{key.words, {}};
    entry.tokens.fill(-1);
    std::copy_n(tokens, count, entry.tokens.begin());
    insert(key.hash, entry);
  }

 private:
  static constexpr size_t kWays = 4;
  struct Entry {
    std::array<uint64_t, kKeyBytes / 8> words{};  // zeros: empty, for no piece has length 0
    std::array<TokenId, kMostTokens> tokens{};    // then -1
  };
  // The second half is seldom read: what is found there moves to the first.
  struct alignas(64) Place : std::array<Entry, kWays> {};

  static uint64_t hash_of(const std::array<uint64_t, kKeyBytes / 8>& words) {
    uint64_t hash = 0;
    for (size_t i = 0; i < words.size(); i += 2) {
      unsigned long long high = 0;
      const unsigned long long low =
          _mulx_u64(words[i] ^ (0x2D358DCCAA6C78A5ull + hash), words[i + 1] ^ 0x8BB84B93962EACC9ull, &high);
      hash = low ^ high;
    }
    return hash;
  }

  void insert(uint64_t hash, const Entry& entry) {
    Place& place = places_[hash & mask_];
    std::move_backward(place.begin(), place.end() - 1, place.end());
    place.front() = entry;
  }

  void grow() {
    const size_t before = mask_ + 1;
    const auto old = std::exchange(places_, std::make_unique<Place[]>(2 * before));
    mask_ = 2 * before - 1;
    for (size_t i = 0; i < before; ++i) {
      for (size_t way = kWays; way-- > 0;) {  // the oldest first
        const Entry& entry = old[i][way];
        if (entry.words.back() != 0) insert(hash_of(entry.words), entry);
      }
    }
  }

  size_t mask_ = (1 << 10) - 1, inserted_ = 0;
  std::unique_ptr<Place[]> places_ = std::make_unique<Place[]>(mask_ + 1);
};

using ShortPieces = PieceTable<16, 1 << 16>;  // 8 MB
using LongPieces = PieceTable<32, 1 << 14>;   // 4 MB

}  // namespace starling

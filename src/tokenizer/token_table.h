// From a token's bytes to its id: open addressing over hashes, so that a look-up costs one place of the table and,
// where the hash agrees, the token's own bytes.
#pragma once

#include <xxhash.h>

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace starling {

class TokenTable {
 public:
  explicit TokenTable(size_t most) : slots_(std::bit_ceil(2 * most + 2)) {}  // holds at most so many

  // The first id of equal tokens counts. `tokens` is the list that ids count in, the same in every call.
  void insert(TokenId id, const std::vector<std::string>& tokens) {
    const uint64_t hash = hash_of(tokens[id]);
    size_t at = hash & (slots_.size() - 1);
    for (; slots_[at].id >= 0; at = (at + 1) & (slots_.size() - 1))
      if (is(slots_[at], hash, tokens[id], tokens)) return;
    slots_[at] = {tag_of(hash), id};
  }

  // -1 when it is not there.
  TokenId find(std::string_view piece, const std::vector<std::string>& tokens) const {
    const uint64_t hash = hash_of(piece);
    for (size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1))
      if (slots_[at].id < 0 || is(slots_[at], hash, piece, tokens)) return slots_[at].id;
  }

 private:
  struct Slot {
    uint32_t tag = 0;
    TokenId id = -1;
  };
  static uint64_t hash_of(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }
  static uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }
  static bool is(const Slot& slot, uint64_t hash, std::string_view bytes, const std::vector<std::string>& tokens) {
    return slot.tag == tag_of(hash) && tokens[slot.id] == bytes;
  }

  std::vector<Slot> slots_;
};

}  // namespace starling

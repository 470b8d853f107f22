// Remembers the tokens of pieces seen before: text repeats its words. Thread-safe; bounded: what comes after the bound
// is not remembered. Pieces longer than kLongestPiece are not worth the memory.
#pragma once

#include <array>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/hash.h"
#include "tokenizer/tokenizer.h"

namespace starling {

class PieceCache {
 public:
  static constexpr size_t kLongestPiece = 64;
  static constexpr size_t kPiecesPerShard = 1 << 13;

  // Appends the piece's tokens to `out`, from memory or by calling encode(piece).
  template <typename Encode>
  void append(std::string_view piece, std::vector<TokenId>& out, const Encode& encode) {
    if (piece.size() > kLongestPiece) return append_all(out, encode(piece));
    Shard& shard = shards_[hash64(piece) % shards_.size()];
    {
      const std::lock_guard lock(shard.mutex);
      const auto found = shard.tokens.find(piece);
      if (found != shard.tokens.end()) return append_all(out, found->second);
    }
    std::vector<TokenId> tokens = encode(piece);
    append_all(out, tokens);
    const std::lock_guard lock(shard.mutex);
    if (shard.tokens.size() < kPiecesPerShard) shard.tokens.emplace(piece, std::move(tokens));
  }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view piece) const { return hash64(piece, 1); }
  };
  struct Shard {
    std::mutex mutex;
    std::unordered_map<std::string, std::vector<TokenId>, Hash, std::equal_to<>> tokens;
  };

  static void append_all(std::vector<TokenId>& out, const std::vector<TokenId>& tokens) {
    out.insert(out.end(), tokens.begin(), tokens.end());
  }

  std::array<Shard, 16> shards_;
};

}  // namespace starling

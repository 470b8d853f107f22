// Byte-level BPE: a text is split into pieces, a piece into bytes, and adjacent tokens are merged by rank.
// Source: Sennrich et al. 2016, arXiv:1508.07909; over bytes: Radford et al. 2019.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "tokenizer/merge_table.h"
#include "tokenizer/piece_cache.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace starling {

struct ByteLevelVocabulary {
  std::vector<std::string> tokens;    // id -> bytes; of a special token its text
  std::vector<SpecialToken> special;  // never produced from text
  std::vector<Merge> merges;
  SplitPattern pattern = SplitPattern::kCl100k;
  bool normalize_nfc = false;       // Unicode NFC before splitting, where the text is valid UTF-8
  bool whole_pieces_first = false;  // a piece that is a token is taken whole ("ignore_merges")
};

class ByteLevelBpe final : public Tokenizer {
 public:
  // Throws DataError when one of the 256 bytes has no token.
  explicit ByteLevelBpe(ByteLevelVocabulary vocabulary);

  std::vector<TokenId> encode(std::string_view text) const override;
  std::string decode(std::span<const TokenId> ids) const override;
  std::string token_bytes(TokenId id) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()); }
  const std::vector<SpecialToken>& special_tokens() const override { return special_; }
  void save(const std::filesystem::path& tokenizer_json) const override;

 private:
  std::vector<TokenId> encode_piece(std::string_view piece) const;

  std::vector<std::string> tokens_;
  std::vector<SpecialToken> special_;
  std::vector<bool> is_special_;
  MergeTable merges_;
  SplitPattern pattern_;
  bool normalize_nfc_, whole_pieces_first_;
  std::array<TokenId, 256> byte_tokens_;
  std::unordered_map<std::string, TokenId> whole_pieces_;  // only when whole_pieces_first
  mutable PieceCache cache_;
};

}  // namespace starling

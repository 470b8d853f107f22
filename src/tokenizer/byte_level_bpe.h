// Byte-level BPE: a text is split into pieces, a piece into bytes, and adjacent tokens are merged by rank.
// Source: Sennrich et al. 2016, arXiv:1508.07909; over bytes: Radford et al. 2019.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/encode_workspace.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/token_table.h"
#include "tokenizer/tokenizer.h"

namespace starling {

struct ByteLevelVocabulary {
  std::vector<std::string> tokens;             // id -> bytes; of an added token its text
  std::vector<SpecialToken> special, markers;  // never produced from text
  std::vector<Merge> merges;
  SplitPattern pattern = SplitPattern::kCl100k;
  bool normalize_nfc = false;       // Unicode NFC before splitting, where the text is valid UTF-8
  bool whole_pieces_first = false;  // a piece that is a token is taken whole ("ignore_merges")
  TextFrame frame;
};

class ByteLevelBpe final : public Tokenizer {
 public:
  // Throws DataError when one of the 256 bytes has no token.
  explicit ByteLevelBpe(ByteLevelVocabulary vocabulary);

  void append_tokens(std::string_view text, std::vector<TokenId>& ids) const override;
  std::string decode(std::span<const TokenId> ids) const override;
  std::string token_bytes(TokenId id) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()); }
  const std::vector<SpecialToken>& special_tokens() const override { return special_; }
  const std::vector<SpecialToken>& marker_tokens() const override { return markers_; }
  const TextFrame& frame() const override { return frame_; }
  SplitPattern pattern() const { return pattern_; }
  bool normalize_nfc() const { return normalize_nfc_; }
  bool whole_pieces_first() const { return whole_pieces_first_; }
  void save(const std::filesystem::path& tokenizer_json) const override;

 private:
  bool opens_texts() const override { return special_id(kBeginToken).has_value(); }
  size_t merge_piece(std::string_view piece, TokenId* symbols, MergeScratch& scratch) const;

  std::vector<std::string> tokens_;
  std::vector<SpecialToken> special_, markers_;
  std::vector<bool> is_special_;
  MergeTable merges_;
  SplitPattern pattern_;
  bool normalize_nfc_, whole_pieces_first_;
  std::array<TokenId, 256> byte_tokens_;
  TokenTable whole_pieces_;  // empty unless whole_pieces_first
  TextFrame frame_;
  mutable WorkspacePool workspaces_;
};

}  // namespace starling

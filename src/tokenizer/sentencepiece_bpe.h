// SentencePiece-style BPE with byte fallback, as Llama 2 and TinyLlama use it. A space is written "▁" (U+2581), one is
// put before the text unless the vocabulary was made without it (Yi's); characters are merged by score (highest first,
// leftmost on ties); a character without a piece becomes its bytes' tokens <0x00> ... <0xFF>. A "▁" typed by a user
// decodes to a space, as in SentencePiece. Source: Kudo & Richardson 2018, arXiv:1808.06226.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/encode_workspace.h"
#include "tokenizer/merge_table.h"
#include "tokenizer/tokenizer.h"

namespace starling {

inline constexpr std::string_view kSpaceMark = "\u2581";

struct SentencePieceVocabulary {
  std::vector<std::string> pieces;             // id -> text
  std::vector<SpecialToken> special, markers;  // never produced from text; special: control and unknown pieces
  std::vector<Merge> merges;
  std::string unknown_piece = "<unk>";
  TextFrame frame;
  bool space_first = true;  // encode() puts a space before the text, which decode() takes away
};

class SentencePieceBpe final : public Tokenizer {
 public:
  // Throws DataError when one of the 256 byte tokens is missing.
  explicit SentencePieceBpe(SentencePieceVocabulary vocabulary);

  void append_tokens(std::string_view text, std::vector<TokenId>& ids) const override;
  void append_continuation(std::string_view text, std::vector<TokenId>& ids) const override;
  std::string decode(std::span<const TokenId> ids) const override;
  std::string token_bytes(TokenId id) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(vocabulary_.pieces.size()); }
  const std::vector<SpecialToken>& special_tokens() const override { return vocabulary_.special; }
  const std::vector<SpecialToken>& marker_tokens() const override { return vocabulary_.markers; }
  const TextFrame& frame() const override { return vocabulary_.frame; }
  void save(const std::filesystem::path& tokenizer_json) const override;
  bool space_first() const { return vocabulary_.space_first; }

 private:
  bool opens_texts() const override { return true; }
  void append_marked(bool space_first, std::string_view text, std::vector<TokenId>& ids) const;
  size_t merge_piece(std::string_view piece, TokenId* symbols, MergeScratch& scratch) const;

  SentencePieceVocabulary vocabulary_;
  MergeTable merges_;
  std::vector<std::string> bytes_;  // id -> what it decodes to
  std::array<TokenId, 256> byte_tokens_;
  std::unordered_map<std::string_view, TokenId> characters_;  // pieces of one character
  bool words_are_apart_ = true;  // no piece has "▁" after another character, so words can be encoded one by one
  mutable WorkspacePool workspaces_;
};

// The byte of a token "<0x41>", -1 for any other text.
int byte_of_piece(std::string_view piece);

// A user-defined piece that is text like any other: a single character, or spaces alone.
bool is_ordinary_piece(std::string_view piece);

}  // namespace starling

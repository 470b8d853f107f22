#include "tokenizer/byte_level_bpe.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/file.h"
#include "tokenizer/nfc.h"
#include "tokenizer/piece_lexer.h"
#include "tokenizer/tokenizer_json.h"

namespace starling {

ByteLevelBpe::ByteLevelBpe(ByteLevelVocabulary vocabulary)
    : tokens_(std::move(vocabulary.tokens)),
      special_(std::move(vocabulary.special)),
      markers_(std::move(vocabulary.markers)),
      is_special_(tokens_.size(), false),
      pattern_(vocabulary.pattern),
      normalize_nfc_(vocabulary.normalize_nfc),
      whole_pieces_first_(vocabulary.whole_pieces_first),
      whole_pieces_(whole_pieces_first_ ? tokens_.size() : 0),
      frame_(std::move(vocabulary.frame)) {
  std::vector<bool> is_added(tokens_.size(), false);
  for (const SpecialToken& token : special_) is_special_[token.id] = is_added[token.id] = true;
  for (const SpecialToken& token : markers_) is_added[token.id] = true;
  std::erase_if(vocabulary.merges, [&](const Merge& merge) { return is_added[merge.merged]; });
  merges_ = MergeTable(std::move(vocabulary.merges));
  byte_tokens_.fill(-1);
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (is_added[id]) continue;
    if (tokens_[id].size() == 1) byte_tokens_[static_cast<unsigned char>(tokens_[id][0])] = static_cast<TokenId>(id);
    if (whole_pieces_first_) whole_pieces_.insert(static_cast<TokenId>(id), tokens_);
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (byte_tokens_[byte] < 0) throw DataError(fmt::format("the vocabulary has no token for byte 0x{:02X}", byte));
  }
}

size_t ByteLevelBpe::merge_piece(std::string_view piece, TokenId* symbols, MergeScratch& scratch) const {
  if (whole_pieces_first_) {
    *symbols = whole_pieces_.find(piece, tokens_);
    if (*symbols >= 0) return 1;
  }
  for (size_t i = 0; i < piece.size(); ++i) symbols[i] = byte_tokens_[static_cast<unsigned char>(piece[i])];
  return merges_.apply({symbols, piece.size()}, scratch);
}

void ByteLevelBpe::append_tokens(std::string_view text, std::vector<TokenId>& ids) const {
  std::string normal;
  if (normalize_nfc_ && !is_surely_nfc(text)) text = normal = to_nfc(text);
  const WorkspacePool::Loan loan = workspaces_.borrow();
  EncodeWorkspace& workspace = *loan;
  workspace.out.clear();
  const auto merge = [&](std::string_view piece, TokenId* symbols) {
    return merge_piece(piece, symbols, workspace.merges);
  };
  const PaddedText padded = workspace.text.assign(text);
  workspace.append_pieces([&](const auto& visit) { visit_pieces(pattern_, padded, visit); }, merge);
  const std::span<const TokenId> tokens = workspace.out.tokens();
  ids.insert(ids.end(), tokens.begin(), tokens.end());
}

std::string ByteLevelBpe::token_bytes(TokenId id) const {
  if (id < 0 || id >= vocab_size()) {
    throw DataError(fmt::format("token {} is outside the vocabulary of {}", id, vocab_size()));
  }
  return is_special_[id] ? std::string() : tokens_[id];
}

std::string ByteLevelBpe::decode(std::span<const TokenId> ids) const {
  std::string text;
  for (const TokenId id : ids) text += token_bytes(id);
  return text;
}

void ByteLevelBpe::save(const std::filesystem::path& tokenizer_json) const {
  write_file_atomic(tokenizer_json, byte_level_json({.tokens = tokens_,
                                                     .special = special_,
                                                     .markers = markers_,
                                                     .merges = merges_.merges(),
                                                     .pattern = pattern_,
                                                     .normalize_nfc = normalize_nfc_,
                                                     .whole_pieces_first = whole_pieces_first_,
                                                     .frame = frame_}));
}

}  // namespace starling

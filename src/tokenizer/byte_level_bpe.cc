#include "tokenizer/byte_level_bpe.h"

#include <fmt/format.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>

#include "core/error.h"
#include "core/file.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/utf8.h"

namespace starling {
namespace {

// The NFC form of `text`; text that is not valid UTF-8 stays as it is, so that its bytes survive.
std::string to_nfc(std::string_view text) {
  if (!is_valid_utf8(text)) return std::string(text);
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(status);
  std::string normal;
  icu::StringByteSink<std::string> sink(&normal);
  nfc->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink, nullptr, status);
  if (U_FAILURE(status)) throw DataError(fmt::format("Unicode normalization failed: {}", u_errorName(status)));
  return normal;
}

}  // namespace

ByteLevelBpe::ByteLevelBpe(ByteLevelVocabulary vocabulary)
    : tokens_(std::move(vocabulary.tokens)),
      special_(std::move(vocabulary.special)),
      is_special_(tokens_.size(), false),
      merges_(std::move(vocabulary.merges)),
      pattern_(vocabulary.pattern),
      normalize_nfc_(vocabulary.normalize_nfc),
      whole_pieces_first_(vocabulary.whole_pieces_first) {
  for (const SpecialToken& token : special_) is_special_[token.id] = true;
  byte_tokens_.fill(-1);
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (is_special_[id]) continue;
    if (tokens_[id].size() == 1) byte_tokens_[static_cast<unsigned char>(tokens_[id][0])] = static_cast<TokenId>(id);
    if (whole_pieces_first_) whole_pieces_.emplace(tokens_[id], static_cast<TokenId>(id));
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (byte_tokens_[byte] < 0) throw DataError(fmt::format("the vocabulary has no token for byte 0x{:02X}", byte));
  }
}

std::vector<TokenId> ByteLevelBpe::encode_piece(std::string_view piece) const {
  if (whole_pieces_first_) {
    const auto whole = whole_pieces_.find(std::string(piece));
    if (whole != whole_pieces_.end()) return {whole->second};
  }
  std::vector<TokenId> symbols;
  symbols.reserve(piece.size());
  for (const char byte : piece) symbols.push_back(byte_tokens_[static_cast<unsigned char>(byte)]);
  merges_.apply(symbols);
  return symbols;
}

std::vector<TokenId> ByteLevelBpe::encode(std::string_view text) const {
  std::string normal;
  if (normalize_nfc_) text = normal = to_nfc(text);
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 3);
  for (const std::string_view piece : split_text(pattern_, text)) {
    cache_.append(piece, ids, [this](std::string_view missing) { return encode_piece(missing); });
  }
  return ids;
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
                                                     .merges = merges_.merges(),
                                                     .pattern = pattern_,
                                                     .normalize_nfc = normalize_nfc_,
                                                     .whole_pieces_first = whole_pieces_first_}));
}

}  // namespace starling

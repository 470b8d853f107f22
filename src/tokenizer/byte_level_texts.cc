#include "tokenizer/byte_level_texts.h"

#include <fmt/format.h>

#include <optional>
#include <unordered_map>

#include "core/error.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/byte_level_bpe.h"
#include "tokenizer/utf8.h"

namespace starling {
namespace {

using IdsOfTexts = std::unordered_map<std::string_view, TokenId>;

void leave_out_unused_end(ByteLevelTexts& texts) {
  while (!texts.types.empty() && texts.types.back() == PieceType::unused) {
    texts.types.pop_back();
    texts.tokens.pop_back();
  }
}

IdsOfTexts ids_of(const std::vector<std::string>& tokens) {
  IdsOfTexts ids;
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].empty() || !is_valid_utf8(tokens[id]))
      throw DataError(fmt::format("token {} of the vocabulary is empty or not UTF-8", id));
    if (!ids.emplace(tokens[id], static_cast<TokenId>(id)).second)
      throw DataError(fmt::format("token {} of the vocabulary, {}, is there twice", id, tokens[id]));
  }
  return ids;
}

Merge read_merge(const std::string& text, size_t rank, const IdsOfTexts& ids) {
  const size_t space = text.find(' ');
  if (space == std::string::npos) throw DataError(fmt::format("merge {} is not a pair of tokens", rank));
  const std::string_view left = std::string_view(text).substr(0, space),
                         right = std::string_view(text).substr(space + 1);
  const auto id_of = [&](std::string_view token) {
    const auto found = ids.find(token);
    if (found == ids.end()) throw DataError(fmt::format("merge {}: {} is not in the vocabulary", rank, token));
    return found->second;
  };
  return {.left = id_of(left),
          .right = id_of(right),
          .merged = id_of(std::string(left) += right),
          .rank = static_cast<int32_t>(rank)};
}

// Texts become bytes where they are written in the byte alphabet.
void place_tokens(ByteLevelTexts& texts, ByteLevelVocabulary& vocabulary) {
  for (size_t id = 0; id < texts.tokens.size(); ++id) {
    std::string& text = texts.tokens[id];
    const int32_t type = texts.types[id];
    if (type == PieceType::normal || type == PieceType::byte) {
      std::optional<std::string> bytes = from_byte_alphabet(text);
      if (!bytes) throw DataError(fmt::format("token {}, {}, is not written in the byte alphabet", id, text));
      vocabulary.tokens.push_back(std::move(*bytes));
      continue;
    }
    (type == PieceType::user_defined ? vocabulary.markers : vocabulary.special)
        .push_back({.id = static_cast<TokenId>(id), .text = text});
    vocabulary.tokens.push_back(std::move(text));
  }
}

}  // namespace

std::unique_ptr<Tokenizer> make_byte_level_bpe(ByteLevelTexts texts) {
  if (texts.tokens.size() != texts.types.size())
    throw DataError(fmt::format("a vocabulary of {} tokens has {} types; the counts must be equal", texts.tokens.size(),
                                texts.types.size()));
  leave_out_unused_end(texts);
  ByteLevelVocabulary vocabulary{.pattern = texts.pattern,
                                 .normalize_nfc = texts.normalize_nfc,
                                 .whole_pieces_first = texts.whole_pieces_first,
                                 .frame = std::move(texts.frame)};
  const IdsOfTexts ids = ids_of(texts.tokens);
  for (size_t rank = 0; rank < texts.merges.size(); ++rank)
    vocabulary.merges.push_back(read_merge(texts.merges[rank], rank, ids));
  place_tokens(texts, vocabulary);
  for (const auto* tokens : {&vocabulary.frame.before, &vocabulary.frame.after})
    for (const TokenId id : *tokens)
      if (id < 0 || static_cast<size_t>(id) >= vocabulary.tokens.size())
        throw DataError(fmt::format("token {}, which stands around texts, is outside the vocabulary", id));
  return std::make_unique<ByteLevelBpe>(std::move(vocabulary));
}

}  // namespace starling

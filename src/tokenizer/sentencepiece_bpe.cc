#include "tokenizer/sentencepiece_bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "core/error.h"
#include "core/file.h"
#include "tokenizer/tokenizer_json.h"
#include "tokenizer/utf8.h"

namespace starling {
namespace {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (size_t at = text.find(from); at != std::string_view::npos; at = text.find(from)) {
    out.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
  }
  return out.append(text);
}

// Does a space mark follow another character somewhere in the piece?
bool has_inner_space(std::string_view piece) {
  while (piece.starts_with(kSpaceMark)) piece.remove_prefix(kSpaceMark.size());
  return piece.find(kSpaceMark) != std::string_view::npos;
}

// `text` with every space written as kSpaceMark, and one more in front.
PaddedText mark_spaces(bool space_first, std::string_view text, PaddedBuffer& buffer) {
  char* const begin = buffer.reserve(kSpaceMark.size() * (text.size() + 1));
  char* out = begin;
  const auto mark = [&] { out = std::copy(kSpaceMark.begin(), kSpaceMark.end(), out); };
  if (space_first) mark();
  for (const char c : text) {
    if (c == ' ') mark();
    else *out++ = c;
  }
  return buffer.finish(static_cast<size_t>(out - begin));
}

// The first word with the space marks before it.
size_t word_end(std::string_view text) {
  size_t end = 0;
  while (text.substr(end).starts_with(kSpaceMark)) end += kSpaceMark.size();
  return std::min(text.find(kSpaceMark, end), text.size());
}

// A piece with a bare space is never met, because a text's are marks by then; and a file cuts a merge at its space.
bool takes_part_in_merges(std::string_view piece, int32_t type) {
  if (piece.find(' ') != std::string_view::npos) return false;
  return type == PieceType::normal || (type == PieceType::user_defined && is_ordinary_piece(piece));
}

// Every way to make a piece from two others, ranked by the piece's score.
std::vector<Merge> merges_from_scores(const std::vector<std::string>& pieces, const std::vector<float>& scores,
                                      const std::vector<int32_t>& types) {
  std::unordered_map<std::string_view, TokenId> ids;
  std::unordered_set<size_t> lengths;  // of a part that has none of them, a megabyte perhaps, no hash is taken
  std::vector<TokenId> by_score;
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (!takes_part_in_merges(pieces[id], types[id])) continue;
    ids.emplace(pieces[id], static_cast<TokenId>(id));
    lengths.insert(pieces[id].size());
    by_score.push_back(static_cast<TokenId>(id));
  }
  std::stable_sort(by_score.begin(), by_score.end(), [&](TokenId a, TokenId b) { return scores[a] > scores[b]; });

  std::vector<Merge> merges;
  int32_t rank = 0;
  for (size_t i = 0; i < by_score.size(); ++i) {
    if (i > 0 && scores[by_score[i]] != scores[by_score[i - 1]]) ++rank;
    const std::string_view piece = pieces[by_score[i]];
    for (size_t cut = utf8_length(piece); cut < piece.size(); cut += utf8_length(piece.substr(cut))) {
      if (!lengths.contains(cut) || !lengths.contains(piece.size() - cut)) continue;
      const auto left = ids.find(piece.substr(0, cut)), right = ids.find(piece.substr(cut));
      if (left == ids.end() || right == ids.end()) continue;
      merges.push_back({.left = left->second, .right = right->second, .merged = by_score[i], .rank = rank});
    }
  }
  return merges;
}

void check_pieces(const std::vector<std::string>& pieces, size_t scores, size_t types) {
  if (pieces.size() != scores || pieces.size() != types) {
    throw DataError(fmt::format("a vocabulary of {} pieces has {} scores and {} types; the counts must be equal",
                                pieces.size(), scores, types));
  }
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (pieces[id].empty() || !is_valid_utf8(pieces[id])) {
      throw DataError(fmt::format("piece {} of the vocabulary is empty or not UTF-8", id));
    }
  }
}

}  // namespace

int byte_of_piece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  int byte = -1;
  const auto [end, error] = std::from_chars(piece.data() + 3, piece.data() + 5, byte, 16);
  return error == std::errc() && end == piece.data() + 5 && byte >= 0 ? byte : -1;
}

bool is_ordinary_piece(std::string_view piece) {
  if (utf8_length(piece) == piece.size()) return true;
  while (piece.starts_with(kSpaceMark)) piece.remove_prefix(kSpaceMark.size());
  return piece.find_first_not_of(" \t\n\r") == std::string_view::npos;
}

SentencePieceBpe::SentencePieceBpe(SentencePieceVocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {
  enum class Added : uint8_t { no, special, marker };
  std::vector<Added> added(vocabulary_.pieces.size(), Added::no);
  for (const SpecialToken& token : vocabulary_.special) added[token.id] = Added::special;
  for (const SpecialToken& token : vocabulary_.markers) added[token.id] = Added::marker;
  std::erase_if(vocabulary_.merges, [&](const Merge& merge) { return added[merge.merged] != Added::no; });
  merges_ = MergeTable(std::move(vocabulary_.merges));
  byte_tokens_.fill(-1);
  bytes_.resize(vocabulary_.pieces.size());
  for (size_t id = 0; id < vocabulary_.pieces.size(); ++id) {
    const std::string& piece = vocabulary_.pieces[id];
    if (added[id] == Added::marker) bytes_[id] = piece;
    if (added[id] != Added::no) continue;
    if (const int byte = byte_of_piece(piece); byte >= 0) {
      byte_tokens_[byte] = static_cast<TokenId>(id);
      bytes_[id] = static_cast<char>(byte);
      continue;
    }
    bytes_[id] = replace_all(piece, kSpaceMark, " ");
    if (utf8_length(piece) == piece.size()) characters_.emplace(piece, static_cast<TokenId>(id));
    words_are_apart_ = words_are_apart_ && !has_inner_space(piece);
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (byte_tokens_[byte] < 0) throw DataError(fmt::format("the vocabulary has no token <0x{:02X}>", byte));
  }
}

size_t SentencePieceBpe::merge_piece(std::string_view piece, TokenId* symbols, MergeScratch& scratch) const {
  size_t count = 0;
  while (!piece.empty()) {
    const size_t length = std::max<size_t>(1, utf8_length(piece));
    const auto character = characters_.find(piece.substr(0, length));
    if (character != characters_.end()) {
      symbols[count++] = character->second;
    } else {
      for (const char byte : piece.substr(0, length)) symbols[count++] = byte_tokens_[static_cast<unsigned char>(byte)];
    }
    piece.remove_prefix(length);
  }
  return merges_.apply({symbols, count}, scratch);
}

void SentencePieceBpe::append_marked(bool space_first, std::string_view text, std::vector<TokenId>& ids) const {
  const WorkspacePool::Loan loan = workspaces_.borrow();
  EncodeWorkspace& workspace = *loan;
  workspace.out.clear();
  const auto merge = [&](std::string_view piece, TokenId* symbols) {
    return merge_piece(piece, symbols, workspace.merges);
  };
  const PaddedText marked = mark_spaces(space_first, text, workspace.text);
  const auto each_word = [&](const auto& visit) {
    for (std::string_view rest(marked.data, marked.size); !rest.empty();) {
      const std::string_view word = words_are_apart_ ? rest.substr(0, word_end(rest)) : rest;
      visit(word);
      rest.remove_prefix(word.size());
    }
  };
  workspace.append_pieces(each_word, merge);
  const std::span<const TokenId> tokens = workspace.out.tokens();
  ids.insert(ids.end(), tokens.begin(), tokens.end());
}

void SentencePieceBpe::append_tokens(std::string_view text, std::vector<TokenId>& ids) const {
  if (!text.empty()) append_marked(vocabulary_.space_first, text, ids);
}

void SentencePieceBpe::append_continuation(std::string_view text, std::vector<TokenId>& ids) const {
  append_marked(false, text, ids);
}

std::string SentencePieceBpe::token_bytes(TokenId id) const {
  if (id < 0 || id >= vocab_size()) {
    throw DataError(fmt::format("token {} is outside the vocabulary of {}", id, vocab_size()));
  }
  return bytes_[id];
}

std::string SentencePieceBpe::decode(std::span<const TokenId> ids) const {
  std::string text;
  for (const TokenId id : ids) text += token_bytes(id);
  if (vocabulary_.space_first && text.starts_with(' ')) text.erase(0, 1);  // the one that encode() put there
  return text;
}

void SentencePieceBpe::save(const std::filesystem::path& tokenizer_json) const {
  write_file_atomic(tokenizer_json, sentencepiece_json({.pieces = vocabulary_.pieces,
                                                        .special = vocabulary_.special,
                                                        .markers = vocabulary_.markers,
                                                        .merges = merges_.merges(),
                                                        .unknown_piece = vocabulary_.unknown_piece,
                                                        .frame = vocabulary_.frame,
                                                        .space_first = vocabulary_.space_first}));
}

std::unique_ptr<Tokenizer> make_sentencepiece_bpe(std::vector<std::string> pieces, std::vector<float> scores,
                                                  std::vector<int32_t> types, TextFrame frame, bool space_first) {
  check_pieces(pieces, scores.size(), types.size());
  SentencePieceVocabulary vocabulary;
  vocabulary.merges = merges_from_scores(pieces, scores, types);
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (types[id] == PieceType::unknown) vocabulary.unknown_piece = pieces[id];
    if (types[id] == PieceType::unknown || types[id] == PieceType::control) {
      vocabulary.special.push_back({.id = static_cast<TokenId>(id), .text = pieces[id]});
    }
    if (types[id] == PieceType::user_defined && !is_ordinary_piece(pieces[id]))
      vocabulary.markers.push_back({.id = static_cast<TokenId>(id), .text = pieces[id]});
  }
  vocabulary.pieces = std::move(pieces);
  vocabulary.frame = std::move(frame);
  vocabulary.space_first = space_first;
  return std::make_unique<SentencePieceBpe>(std::move(vocabulary));
}

}  // namespace starling

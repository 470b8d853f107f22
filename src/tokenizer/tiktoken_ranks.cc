#include "tokenizer/tiktoken_ranks.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <unordered_map>

#include "core/error.h"
#include "tokenizer/byte_level_bpe.h"

namespace starling {
namespace {

constexpr size_t kMostUnused = 4096;
constexpr size_t kLongestToken = 1024;  // bytes; every way to cut a token is tried

int sextet(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// Nothing when the text is not whole base64 (RFC 4648, with padding): a token must not lose a byte unseen.
std::optional<std::string> strict_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::string bytes;
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text.substr(0, text.size() - padding)) {
    const int value = sextet(c);
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    if ((held += 6) >= 8) bytes += static_cast<char>(bits >> (held -= 8) & 0xFF);
  }
  if ((bits & ((1u << held) - 1)) != 0) return std::nullopt;
  return bytes;
}

class RanksReader {
 public:
  explicit RanksReader(const std::string& where) : where_(where) {}

  // id -> bytes; empty where no line gives the id.
  std::vector<std::string> read(std::string_view text) {
    std::vector<std::pair<std::string, TokenId>> lines;
    size_t largest = 0;
    for (; !text.empty(); ++line_) {
      const size_t end = std::min(text.find('\n'), text.size());
      std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (line.empty()) continue;
      lines.push_back(read_line(line));
      largest = std::max(largest, static_cast<size_t>(lines.back().second));
    }
    if (lines.empty()) throw DataError(fmt::format("{}: has no line \"base64 rank\"; is this a ranks file?", where_));
    if (largest >= lines.size() + kMostUnused) {
      throw DataError(
          fmt::format("{}: has the rank {} but only {} lines; is the file whole?", where_, largest, lines.size()));
    }
    std::vector<std::string> tokens(largest + 1);
    for (auto& [bytes, id] : lines) {
      if (!tokens[id].empty()) throw DataError(fmt::format("{}: the rank {} is there twice", where_, id));
      tokens[id] = std::move(bytes);
    }
    return tokens;
  }

 private:
  std::pair<std::string, TokenId> read_line(std::string_view line) const {
    const size_t space = line.find(' ');
    const std::string_view rank = space == std::string_view::npos ? "" : line.substr(space + 1);
    TokenId id = -1;
    const auto [end, error] = std::from_chars(rank.data(), rank.data() + rank.size(), id);
    if (error != std::errc() || end != rank.data() + rank.size() || id < 0)
      throw DataError(fmt::format("{}: line {}: is not \"base64 rank\"", where_, line_));
    std::optional<std::string> bytes = strict_base64(line.substr(0, space));
    if (!bytes || bytes->size() > kLongestToken)
      throw DataError(fmt::format("{}: line {}: \"{}\" is not base64 of 1 to {} bytes", where_, line_,
                                  line.substr(0, std::min<size_t>(space, 80)), kLongestToken));
    return {std::move(*bytes), id};
  }

  const std::string& where_;
  size_t line_ = 1;
};

// Every way to make a token from two others, with the token's id as rank.
std::vector<Merge> merges_of(const std::vector<std::string>& tokens, const std::string& where) {
  std::unordered_map<std::string_view, TokenId> ids;
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].empty()) continue;
    if (!ids.emplace(tokens[id], static_cast<TokenId>(id)).second)
      throw DataError(fmt::format("{}: the bytes of token {} are there twice", where, id));
  }
  std::vector<Merge> merges;
  for (size_t id = 0; id < tokens.size(); ++id) {
    const std::string_view token = tokens[id];
    for (size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = ids.find(token.substr(0, cut));
      if (left == ids.end()) continue;
      const auto right = ids.find(token.substr(cut));
      if (right == ids.end()) continue;
      merges.push_back({.left = left->second,
                        .right = right->second,
                        .merged = static_cast<TokenId>(id),
                        .rank = static_cast<int32_t>(id)});
    }
  }
  return merges;
}

void add_special_tokens(ByteLevelVocabulary& vocabulary, const TiktokenEncoding& encoding, const std::string& where) {
  for (const SpecialToken& token : encoding.special) {
    if (token.id < 0 || static_cast<size_t>(token.id) >= vocabulary.tokens.size() + kMostUnused)
      throw DataError(fmt::format("{}: the special token {} has the id {}, far from the {} ranks", where, token.text,
                                  token.id, vocabulary.tokens.size()));
    if (static_cast<size_t>(token.id) >= vocabulary.tokens.size()) vocabulary.tokens.resize(token.id + 1);
    if (!vocabulary.tokens[token.id].empty())
      throw DataError(
          fmt::format("{}: the special token {} and a rank have the same id {}", where, token.text, token.id));
    vocabulary.tokens[token.id] = token.text;
    vocabulary.special.push_back(token);
  }
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (!vocabulary.tokens[id].empty()) continue;
    vocabulary.tokens[id] = fmt::format("<|unused_{}|>", id);
    vocabulary.special.push_back({.id = static_cast<TokenId>(id), .text = vocabulary.tokens[id]});
  }
}

}  // namespace

TiktokenEncoding tiktoken_encoding(std::string_view name) {
  const TiktokenEncoding known[] = {
      {"r50k_base", SplitPattern::kGpt2, {{50256, "<|endoftext|>"}}},
      {"cl100k_base",
       SplitPattern::kCl100k,
       {{100257, "<|endoftext|>"},
        {100258, "<|fim_prefix|>"},
        {100259, "<|fim_middle|>"},
        {100260, "<|fim_suffix|>"},
        {100276, "<|endofprompt|>"}}},
      {"o200k_base", SplitPattern::kO200k, {{199999, "<|endoftext|>"}, {200018, "<|endofprompt|>"}}},
  };
  for (const TiktokenEncoding& encoding : known) {
    if (encoding.name == name) return encoding;
  }
  throw ConfigError(
      fmt::format("\"{}\" is not an encoding that is known here; choose r50k_base, cl100k_base or o200k_base", name));
}

std::unique_ptr<Tokenizer> tokenizer_from_ranks(std::string_view ranks, const TiktokenEncoding& encoding,
                                                const std::string& where) {
  ByteLevelVocabulary vocabulary{.pattern = encoding.pattern, .whole_pieces_first = true};
  vocabulary.tokens = RanksReader(where).read(ranks);
  vocabulary.merges = merges_of(vocabulary.tokens, where);
  add_special_tokens(vocabulary, encoding, where);
  try {
    return std::make_unique<ByteLevelBpe>(std::move(vocabulary));
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", where, error.what()));
  }
}

}  // namespace starling

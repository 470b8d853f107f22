#include "tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/threads.h"
#include "tokenizer/tiktoken_ranks.h"
#include "tokenizer/tokenizer_json.h"

namespace starling {
namespace {

constexpr int64_t kTextsWorthAThread = 64;

// Finds the longest of a set of texts at a place, by narrowing the range of a sorted list byte by byte.
class LongestMatch {
 public:
  explicit LongestMatch(std::vector<const SpecialToken*> tokens) : tokens_(std::move(tokens)) {
    std::sort(tokens_.begin(), tokens_.end(), [](const auto* a, const auto* b) { return a->text < b->text; });
    for (const SpecialToken* token : tokens_) starts_[static_cast<unsigned char>(token->text[0])] = true;
  }

  const SpecialToken* at(std::string_view text) const {
    if (!starts_[static_cast<unsigned char>(text[0])]) return nullptr;
    const SpecialToken* longest = nullptr;
    auto first = tokens_.begin(), last = tokens_.end();
    for (size_t i = 0; i < text.size() && first != last; ++i) {
      const auto byte_of = [i](const SpecialToken* token) {
        return i < token->text.size() ? static_cast<unsigned char>(token->text[i]) : -1;
      };
      const int byte = static_cast<unsigned char>(text[i]);
      first = std::partition_point(first, last, [&](const auto* token) { return byte_of(token) < byte; });
      last = std::partition_point(first, last, [&](const auto* token) { return byte_of(token) == byte; });
      if (first != last && (*first)->text.size() == i + 1) longest = *first;
    }
    return longest;
  }

 private:
  std::vector<const SpecialToken*> tokens_;
  std::array<bool, 256> starts_{};
};

}  // namespace

std::vector<TokenId> Tokenizer::encode(std::string_view text) const {
  std::vector<TokenId> ids;
  append_tokens(text, ids);
  return ids;
}

std::vector<TokenId> Tokenizer::encode_continuation(std::string_view text) const {
  std::vector<TokenId> ids;
  append_continuation(text, ids);
  return ids;
}

EncodedTexts Tokenizer::encode_all(std::span<const std::string_view> texts) const {
  std::map<int64_t, std::vector<TokenId>> parts;  // by the first text
  EncodedTexts all;
  all.offsets.resize(texts.size() + 1);
  std::mutex mutex;
  parallel_for(static_cast<int64_t>(texts.size()), kTextsWorthAThread, [&](int64_t begin, int64_t end) {
    std::vector<TokenId> ids;
    for (int64_t i = begin; i < end; ++i) {
      const size_t before = ids.size();
      append_tokens(texts[i], ids);
      all.offsets[i + 1] = ids.size() - before;
    }
    const std::lock_guard lock(mutex);
    parts.emplace(begin, std::move(ids));
  });
  for (size_t i = 0; i < texts.size(); ++i) all.offsets[i + 1] += all.offsets[i];
  all.ids.reserve(all.offsets.back());
  for (const auto& [begin, ids] : parts) all.ids.insert(all.ids.end(), ids.begin(), ids.end());
  return all;
}

std::vector<TokenId> Tokenizer::encode_with_special(std::string_view text, std::span<const TokenId> allowed) const {
  std::set<TokenId> wanted(allowed.begin(), allowed.end());
  std::vector<const SpecialToken*> tokens;
  for (const auto* added : {&special_tokens(), &marker_tokens()})
    for (const SpecialToken& token : *added)
      if (wanted.erase(token.id) > 0) tokens.push_back(&token);
  if (!wanted.empty()) throw DataError(fmt::format("token {} is not a special token", *wanted.begin()));
  const LongestMatch special(std::move(tokens));
  std::vector<TokenId> ids;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const SpecialToken* token = special.at(text.substr(at));
    if (!token) {
      ++at;
      continue;
    }
    append_tokens(text.substr(begin, at - begin), ids);
    ids.push_back(token->id);
    begin = at += token->text.size();
  }
  append_tokens(text.substr(begin), ids);
  return ids;
}

std::vector<TokenId> Tokenizer::opening_tokens(TokenId begin_token) const {
  if (frame().given) return frame().before;
  return opens_texts() ? std::vector<TokenId>{begin_token} : std::vector<TokenId>();
}

std::optional<TokenId> Tokenizer::special_id(std::string_view text) const {
  for (const SpecialToken& token : special_tokens()) {
    if (token.text == text) return token.id;
  }
  return std::nullopt;
}

std::vector<ConfigKey> tokenizer_config_keys() {
  return {{"tokenizer.vocab_size", int64_t{8192}, "tokens in the vocabulary that `starling tokenizer train` makes"}};
}

std::unique_ptr<Tokenizer> Tokenizer::load(const std::filesystem::path& path) {
  const MappedFile file(path);
  if (path.extension() != ".tiktoken") return tokenizer_from_json(file.text(), path.string());
  return tokenizer_from_ranks(file.text(), tiktoken_encoding(path.stem().string()), path.string());
}

}  // namespace starling

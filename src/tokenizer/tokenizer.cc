#include "tokenizer/tokenizer.h"

#include "core/file.h"
#include "tokenizer/tokenizer_json.h"

namespace starling {

std::optional<TokenId> Tokenizer::special_id(std::string_view text) const {
  for (const SpecialToken& token : special_tokens()) {
    if (token.text == text) return token.id;
  }
  return std::nullopt;
}

std::vector<ConfigKey> tokenizer_config_keys() {
  return {{"tokenizer.vocab_size", int64_t{8192}, "tokens in the vocabulary that `starling tokenizer train` makes"}};
}

std::unique_ptr<Tokenizer> Tokenizer::load(const std::filesystem::path& tokenizer_json) {
  const MappedFile file(tokenizer_json);
  return tokenizer_from_json(file.text(), tokenizer_json.string());
}

}  // namespace starling

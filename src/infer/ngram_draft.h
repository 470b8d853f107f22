// Guesses of the next tokens from the sequence itself: text that quotes its prompt, code and JSON repeat themselves.
// Source: Saxena 2023, "Prompt lookup decoding", https://github.com/apoorvumang/prompt-lookup-decoding.
#pragma once

#include <cstdint>
#include <span>

#include "tokenizer/tokenizer.h"

namespace starling {

// What followed the latest earlier place of the last 4 tokens (or else 3, or 2), at most `most` tokens; empty when
// there is no such place.
std::span<const TokenId> ngram_draft(std::span<const TokenId> tokens, int64_t most);

// How many tokens to guess, from how the last guesses did: more while they hold, none for a while after they failed.
class DraftLength {
 public:
  int64_t next();
  void learn(int64_t guessed, int64_t right);

 private:
  int64_t length_ = 2, pause_ = 0;
};

}  // namespace starling

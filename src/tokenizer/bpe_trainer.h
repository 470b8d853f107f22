// Learns a byte-level BPE vocabulary: again and again the most frequent adjacent pair of tokens becomes a token.
// Source: Sennrich et al. 2016, arXiv:1508.07909. Texts are given one by one and not kept: memory holds the distinct
// pieces with their counts, so the result does not depend on the order of the texts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tokenizer/tokenizer.h"

namespace starling {

class BpeTrainer {
 public:
  void add(std::string_view text);

  // Ties between pairs go to the smaller pair of ids. Ids: the special tokens, the 256 bytes, the merged tokens.
  // The vocabulary is smaller than asked when no pair occurs twice. Throws ConfigError when vocab_size < 256 + special
  // tokens, Error when a stop is requested.
  std::unique_ptr<Tokenizer> train(int64_t vocab_size);

 private:
  std::unordered_map<std::string, int64_t> piece_counts_;
};

}  // namespace starling

// Vocabularies in tiktoken's format: a line a token, its bytes in base64 and its rank, which is also its id. Two
// adjacent tokens merge when their bytes together are a token, the smallest rank first; a piece that is a token is
// taken whole. Source: OpenAI's tiktoken; docs/formats/tokenizer.md.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace starling {

// What a ranks file does not say.
struct TiktokenEncoding {
  std::string name;  // "cl100k_base"
  SplitPattern pattern = SplitPattern::kCl100k;
  std::vector<SpecialToken> special;
};

// r50k_base (GPT-2), cl100k_base, o200k_base and their published special tokens. Throws ConfigError for another name.
TiktokenEncoding tiktoken_encoding(std::string_view name);

// Ids that neither the file nor `encoding` gives away become special tokens "<|unused_ID|>". `where` names the source
// in errors. Throws DataError for damaged text, ids given twice or missing bytes.
std::unique_ptr<Tokenizer> tokenizer_from_ranks(std::string_view ranks, const TiktokenEncoding& encoding,
                                                const std::string& where);

}  // namespace starling

// Hugging Face's tokenizer.json: writing and reading. docs/formats/tokenizer.md says what is written and understood.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tokenizer/byte_level_bpe.h"
#include "tokenizer/sentencepiece_bpe.h"

namespace starling {

std::string byte_level_json(const ByteLevelVocabulary& vocabulary);
std::string sentencepiece_json(const SentencePieceVocabulary& vocabulary);

// `where` names the source in errors. Throws DataError for damaged text and for what is not supported.
std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view json, const std::string& where);

}  // namespace starling

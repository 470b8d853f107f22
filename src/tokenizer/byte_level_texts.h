// Byte-level BPE from a vocabulary of texts, as GGUF files carry it (`tokenizer.ggml.model` = "gpt2").
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace starling {

struct ByteLevelTexts {
  std::vector<std::string> tokens;  // in GPT-2's byte alphabet; of tokens that are not normal, the text itself
  std::vector<int32_t> types;       // PieceType
  std::vector<std::string> merges;  // "left right", the first applied first
  SplitPattern pattern = SplitPattern::kGpt2;
  bool normalize_nfc = false, whole_pieces_first = false;  // as in ByteLevelVocabulary
  TextFrame frame;
};

// User-defined tokens become markers, control, unknown and unused ones special tokens. Unused tokens at the end only
// fill a matrix up: they are left out. Throws DataError that names the token or merge.
std::unique_ptr<Tokenizer> make_byte_level_bpe(ByteLevelTexts texts);

}  // namespace starling

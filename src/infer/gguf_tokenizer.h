// A tokenizer in the words of GGUF: `tokenizer.ggml.*`, as llama.cpp reads and writes them (docs/formats/models.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "model/config.h"
#include "model/gguf.h"
#include "tokenizer/tokenizer.h"

namespace starling {

// The vocabulary in a file, of the kinds "llama" (SentencePiece) and "gpt2" (byte level), with the tokens that open a
// text. Throws DataError that names a kind or a pre-tokenizer which is not known here.
std::unique_ptr<Tokenizer> read_gguf_tokenizer(const GgufFile& gguf, const ModelConfig& config);

// The tokens of config.json as the file names them. Where it names none: llama.cpp's, and in a byte-level vocabulary
// the end token begins, as such models have read it between documents.
int64_t gguf_begin_token(const GgufFile& gguf);
int64_t gguf_end_token(const GgufFile& gguf);

// tokenizer.json as metadata, with tokens that nobody names up to the model's vocabulary. Throws IoError, DataError.
void add_gguf_tokenizer(std::map<std::string, GgufValue>& metadata, const std::filesystem::path& tokenizer_json,
                        const ModelConfig& config);

}  // namespace starling

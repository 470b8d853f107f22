// Brings a model from elsewhere into a model folder that Engine::load reads: config.json, tokenizer.json, the weights,
// and tokenizer_config.json when there is a chat template. Formats: docs/formats/models.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace starling {

struct ImportOptions {
  std::string format = "auto";           // auto, safetensors, gguf, llama2c
  std::string sha256;                    // of a single file; empty: not checked
  std::filesystem::path tokenizer_json;  // used instead of the vocabulary in the file; or ENCODING.tiktoken
  bool replace = false;                  // an existing folder
};

struct ImportReport {
  std::string format;
  int64_t parameters = 0;
  uint64_t weight_bytes = 0;           // on disk
  std::string chat_template;           // its name (infer/chat_template.h) or empty
  bool unknown_chat_template = false;  // it has one that is not known
};

// `from` is a Hugging Face folder or a single file; `folder` is made. Everything is written and checked beside it and
// then put in its place in one step, so a failed import leaves nothing, and a model that is replaced is never missing.
// Throws IoError, DataError (what the file lacks or has that is not supported), ConfigError (wrong option, folder
// exists, another checksum).
ImportReport import_model(const std::filesystem::path& from, const std::filesystem::path& folder,
                          const ImportOptions& options);

}  // namespace starling

// Writes a model for other engines: a Hugging Face folder (config.json, tokenizer.json, model.safetensors) or one GGUF
// file. Formats: docs/formats/models.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace starling {

struct ExportOptions {
  std::string format = "gguf";  // safetensors or gguf
  std::string type = "f16";     // safetensors: f32, f16, bf16; gguf also q8_0, q4_0, q4_k
  bool replace = false;         // what is there already
};

struct ExportReport {
  int64_t parameters = 0;
  uint64_t bytes = 0;  // written, of weights
};

// `model_folder` is one that Engine::load reads; `to` becomes a folder (safetensors) or a file (gguf). In GGUF norms,
// biases and routers stay f32, and rows that are not whole blocks of the type become F16. Throws IoError, DataError (a
// weight that is not finite), ConfigError (an unknown format or type, `to` exists, a feature that GGUF has no word
// for).
ExportReport export_model(const std::filesystem::path& model_folder, const std::filesystem::path& to,
                          const ExportOptions& options);

}  // namespace starling

// Private to import: one function a format. Each writes config.json, tokenizer.json (unless one is there already), the
// weights and tokenizer_config.json into `folder`.
#pragma once

#include <filesystem>

namespace starling {

void import_huggingface(const std::filesystem::path& from, const std::filesystem::path& folder);
void import_gguf(const std::filesystem::path& file, const std::filesystem::path& folder);
void import_llama2c(const std::filesystem::path& file, const std::filesystem::path& folder);

// A hard link, or a copy where the file system does not allow one.
void link_or_copy(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace starling

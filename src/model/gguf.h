// GGUF files: key-value metadata and quantized tensors in one memory-mapped file.
// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little-endian).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/file.h"
#include "model/gguf_blocks.h"

namespace starling {

using GgufValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
                               std::vector<std::string>>;

struct GgufTensor {
  GgufType type = GgufType::f32;
  std::vector<int64_t> shape;        // row-major, the reverse of the file's order: [rows, cols]
  std::span<const std::byte> bytes;  // whole blocks, row after row
};

// The constructor checks everything: lengths, types, shapes, offsets, overlaps. Throws IoError or DataError (file, byte
// or tensor, what is wrong).
class GgufFile {
 public:
  explicit GgufFile(const std::filesystem::path& path);

  const std::map<std::string, GgufTensor>& tensors() const { return tensors_; }
  const std::map<std::string, GgufValue>& metadata() const { return metadata_; }

  // Throw DataError, naming the key, when it is missing (and there is no fallback) or of another kind.
  int64_t integer(const std::string& key, std::optional<int64_t> fallback = {}) const;
  double number(const std::string& key, std::optional<double> fallback = {}) const;
  std::string text(const std::string& key, std::optional<std::string> fallback = {}) const;
  template <class T>
  const std::vector<T>& list(const std::string& key) const {  // int64_t, double or std::string
    return find<std::vector<T>>(key);
  }

 private:
  template <class T>
  const T& find(const std::string& key) const;
  std::string path_;
  MappedFile file_;
  std::map<std::string, GgufTensor> tensors_;
  std::map<std::string, GgufValue> metadata_;
};

}  // namespace starling

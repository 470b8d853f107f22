// Weights as Hugging Face safetensors: 8 bytes little-endian header length, a JSON header, then the tensors' bytes.
// Source: https://github.com/huggingface/safetensors#format (header at most 100 MB; the data has no holes or overlaps).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/file.h"

namespace starling {

struct TensorInfo {
  std::string dtype;                 // "F32", "BF16", "F16", "I8", ... as in the file
  std::vector<int64_t> shape;        // row-major
  std::span<const std::byte> bytes;  // inside the map; aligned to nothing in files that others wrote
};

// Bytes of one value of a safetensors dtype; 0 for a dtype that is not known.
size_t safetensors_dtype_bytes(std::string_view dtype);

// A memory-mapped safetensors file. The constructor checks everything: header length, JSON, dtypes, shape * dtype =
// bytes, offsets in range, no overlap, no hole. Throws IoError (cannot read) or DataError (file, tensor, what is
// wrong).
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const TensorInfo& tensor(const std::string& name) const;  // throws DataError when it is missing

 private:
  std::string path_;
  MappedFile file_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

struct TensorToWrite {
  std::string name, dtype;
  std::vector<int64_t> shape;
  const void* data = nullptr;
  size_t bytes = 0;
};

// Writes the tensors in the order given, atomically; the data starts at a multiple of 64 bytes. Throws IoError;
// ShapeError when bytes is not shape * dtype or a name comes twice.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata);

// The same for tensors too large to hold at once: append_tensor(i, append) appends the bytes of tensors[i], whose
// `data` is not read. Throws ShapeError, too, when it appends another number of bytes.
using AppendTensor = std::function<void(size_t i, const AppendBytes& append)>;
void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata, const AppendTensor& append_tensor);

}  // namespace starling

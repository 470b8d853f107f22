#include "model/gguf_writer.h"

#include <cstdint>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "core/file.h"
#include "model/gguf_encode.h"

namespace starling {
namespace {

constexpr size_t kAlignment = 32;  // the format's default

size_t aligned(size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

class Header {
 public:
  template <class T>
  void put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(const std::string& value) {
    put<uint64_t>(value.size());
    bytes_ += value;
  }
  // Value types as the format numbers them: 4 u32, 5 i32, 6 f32, 7 bool, 8 string, 9 array, 11 i64.
  void value(bool value) { put<uint32_t>(7), put<uint8_t>(value); }
  void value(int64_t value) {
    const bool small = value >= 0 && value <= std::numeric_limits<uint32_t>::max();
    put<uint32_t>(small ? 4 : 11);
    small ? put(static_cast<uint32_t>(value)) : put(value);
  }
  void value(double value) { put<uint32_t>(6), put(static_cast<float>(value)); }
  void value(const std::string& value) { put<uint32_t>(8), text(value); }
  void value(const std::vector<int64_t>& list) {
    start_list(5, list.size());
    for (int64_t item : list) put(static_cast<int32_t>(item));
  }
  void value(const std::vector<double>& list) {
    start_list(6, list.size());
    for (double item : list) put(static_cast<float>(item));
  }
  void value(const std::vector<std::string>& list) {
    start_list(8, list.size());
    for (const std::string& item : list) text(item);
  }
  void pad() { bytes_.resize(aligned(bytes_.size()), '\0'); }
  std::string& bytes() { return bytes_; }

 private:
  void start_list(uint32_t type, size_t size) { put<uint32_t>(9), put(type), put<uint64_t>(size); }
  std::string bytes_;
};

int64_t row_count(const GgufTensorToWrite& tensor) {
  return std::accumulate(tensor.shape.begin(), tensor.shape.end() - 1, int64_t{1}, std::multiplies<>());
}

size_t row_bytes(const GgufTensorToWrite& tensor) {
  const GgufBlock block = gguf_block(tensor.type);
  if (tensor.shape.empty() || !can_encode_gguf(tensor.type) || tensor.shape.back() % block.values != 0)
    throw ShapeError("tensor " + tensor.name + " is not whole blocks of a type that is written");
  return static_cast<size_t>(tensor.shape.back() / block.values) * block.bytes;
}

Header make_header(const std::map<std::string, GgufValue>& metadata, const std::vector<GgufTensorToWrite>& tensors) {
  Header header;
  header.bytes() = "GGUF";
  header.put<uint32_t>(3);
  header.put<uint64_t>(tensors.size());
  header.put<uint64_t>(metadata.size());
  for (const auto& [key, value] : metadata) {
    header.text(key);
    std::visit([&](const auto& held) { header.value(held); }, value);
  }
  uint64_t offset = 0;
  for (const GgufTensorToWrite& tensor : tensors) {
    const uint64_t bytes = static_cast<uint64_t>(row_count(tensor)) * row_bytes(tensor);
    header.text(tensor.name);
    header.put(static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size)  // columns first
      header.put(static_cast<uint64_t>(*size));
    header.put(static_cast<uint32_t>(tensor.type));
    header.put(offset);
    offset += aligned(bytes);
  }
  header.pad();
  return header;
}

void append_tensor(const GgufTensorToWrite& tensor, const AppendBytes& append) {
  std::vector<float> values(static_cast<size_t>(tensor.shape.back()));
  std::vector<std::byte> blocks(row_bytes(tensor));
  const int64_t rows = row_count(tensor);
  for (int64_t row = 0; row < rows; ++row) {
    tensor.read_row(row, values);
    encode_gguf_blocks(tensor.type, values, blocks);
    append(blocks.data(), blocks.size());
  }
  const size_t bytes = static_cast<size_t>(rows) * blocks.size();
  const std::string padding(aligned(bytes) - bytes, '\0');
  append(padding.data(), padding.size());
}

}  // namespace

void write_gguf(const std::filesystem::path& path, const std::map<std::string, GgufValue>& metadata,
                const std::vector<GgufTensorToWrite>& tensors) {
  Header header = make_header(metadata, tensors);
  write_file_atomic(path, [&](const AppendBytes& append) {
    append(header.bytes().data(), header.bytes().size());
    for (const GgufTensorToWrite& tensor : tensors) append_tensor(tensor, append);
  });
}

}  // namespace starling

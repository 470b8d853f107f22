#include "model/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/error.h"
#include "core/file.h"

namespace starling {
namespace {

constexpr int64_t kMaxDimensions = 4;

// Types of metadata values, as numbered in the file.
enum class ValueType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

// Walks the header; every read is checked against the end of the file.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> file) : file_(file) {}

  template <class T>
  T read() {
    T value;
    std::memcpy(&value, take(sizeof(T)), sizeof(T));
    return value;
  }
  std::string text() {
    const auto length = read<uint64_t>();
    return std::string(reinterpret_cast<const char*>(take(length)), length);
  }
  size_t position() const { return position_; }
  size_t left() const { return file_.size() - position_; }

 private:
  const std::byte* take(uint64_t count) {
    if (count > left()) {
      throw DataError(fmt::format("byte {}: {} more bytes are needed and {} are left; the file is cut short or damaged",
                                  position_, count, left()));
    }
    const std::byte* at = file_.data() + position_;
    position_ += count;
    return at;
  }
  std::span<const std::byte> file_;
  size_t position_ = 0;
};

std::optional<int64_t> read_integer(Cursor& cursor, ValueType type) {
  switch (type) {
    case ValueType::u8:
      return cursor.read<uint8_t>();
    case ValueType::i8:
      return cursor.read<int8_t>();
    case ValueType::u16:
      return cursor.read<uint16_t>();
    case ValueType::i16:
      return cursor.read<int16_t>();
    case ValueType::u32:
      return cursor.read<uint32_t>();
    case ValueType::i32:
      return cursor.read<int32_t>();
    case ValueType::u64:
    case ValueType::i64:
      return cursor.read<int64_t>();
    case ValueType::boolean:
      return cursor.read<uint8_t>() != 0;
    default:
      return std::nullopt;
  }
}

std::optional<double> read_real(Cursor& cursor, ValueType type) {
  if (type == ValueType::f32) return cursor.read<float>();
  if (type == ValueType::f64) return cursor.read<double>();
  return std::nullopt;
}

GgufValue read_array(Cursor& cursor) {
  const auto type = static_cast<ValueType>(cursor.read<uint32_t>());
  const auto count = cursor.read<uint64_t>();
  // Every element takes at least a byte, so a damaged count cannot ask for more memory than the file has bytes.
  if (count > cursor.left())
    throw DataError(fmt::format("byte {}: a list of {} values is longer than the file", cursor.position(), count));
  if (type == ValueType::text) {
    std::vector<std::string> texts;
    for (uint64_t i = 0; i < count; ++i) texts.push_back(cursor.text());
    return texts;
  }
  if (type == ValueType::f32 || type == ValueType::f64) {
    std::vector<double> numbers;
    for (uint64_t i = 0; i < count; ++i) numbers.push_back(*read_real(cursor, type));
    return numbers;
  }
  std::vector<int64_t> integers;
  for (uint64_t i = 0; i < count; ++i) {
    const std::optional<int64_t> value = read_integer(cursor, type);
    if (!value)
      throw DataError(
          fmt::format("byte {}: unknown type {} of a list", cursor.position(), static_cast<uint32_t>(type)));
    integers.push_back(*value);
  }
  return integers;
}

GgufValue read_value(Cursor& cursor) {
  const auto type = static_cast<ValueType>(cursor.read<uint32_t>());
  if (type == ValueType::text) return cursor.text();
  if (type == ValueType::array) return read_array(cursor);
  if (type == ValueType::boolean) return cursor.read<uint8_t>() != 0;
  if (const std::optional<int64_t> value = read_integer(cursor, type)) return *value;
  if (const std::optional<double> value = read_real(cursor, type)) return *value;
  throw DataError(fmt::format("byte {}: unknown value type {}", cursor.position(), static_cast<uint32_t>(type)));
}

struct TensorEntry {
  std::string name;
  GgufTensor tensor;
  uint64_t offset = 0, bytes = 0;
};

TensorEntry read_tensor_entry(Cursor& cursor) {
  TensorEntry entry{.name = cursor.text()};
  const auto dimensions = cursor.read<uint32_t>();
  if (dimensions == 0 || dimensions > kMaxDimensions)
    throw DataError(fmt::format("tensor {}: {} dimensions", entry.name, dimensions));
  uint64_t values = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    const auto size = cursor.read<uint64_t>();
    // 2^56 leaves room to multiply by the bytes of a block.
    if (size == 0 || __builtin_mul_overflow(values, size, &values) || values >> 56 != 0) {
      throw DataError(fmt::format("tensor {}: impossible shape", entry.name));
    }
    entry.tensor.shape.insert(entry.tensor.shape.begin(), static_cast<int64_t>(size));
  }
  entry.tensor.type = static_cast<GgufType>(cursor.read<uint32_t>());
  entry.offset = cursor.read<uint64_t>();
  const GgufBlock block = gguf_block(entry.tensor.type);
  if (block.name == nullptr) {
    throw DataError(
        fmt::format("tensor {}: type {} is not supported; F32, F16, BF16, Q4_0 to Q8_0, Q2_K to Q6_K, IQ2_XXS, IQ2_XS, "
                    "IQ2_S, IQ3_XXS, IQ3_S, IQ4_NL and IQ4_XS are",
                    entry.name, static_cast<uint32_t>(entry.tensor.type)));
  }
  if (entry.tensor.shape.back() % block.values != 0) {
    throw DataError(fmt::format("tensor {}: rows of {} values are not whole {} blocks", entry.name,
                                entry.tensor.shape.back(), block.name));
  }
  entry.bytes = values / block.values * block.bytes;
  return entry;
}

void place_tensors(std::vector<TensorEntry>& entries, std::span<const std::byte> data, uint64_t alignment) {
  std::sort(entries.begin(), entries.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return a.offset < b.offset; });
  uint64_t used = 0;
  for (TensorEntry& entry : entries) {
    if (entry.offset % alignment != 0)
      throw DataError(fmt::format("tensor {}: offset {} is not aligned", entry.name, entry.offset));
    if (entry.offset < used) throw DataError(fmt::format("tensor {}: overlaps another", entry.name));
    if (entry.offset > data.size() || entry.bytes > data.size() - entry.offset) {
      throw DataError(
          fmt::format("tensor {}: {} bytes at {} are outside the {} data bytes; the file is cut short or damaged",
                      entry.name, entry.bytes, entry.offset, data.size()));
    }
    used = entry.offset + entry.bytes;
    entry.tensor.bytes = data.subspan(entry.offset, entry.bytes);
  }
}

std::vector<TensorEntry> read_header(std::span<const std::byte> file, std::map<std::string, GgufValue>& metadata) {
  Cursor cursor(file);
  if (cursor.read<uint32_t>() != 0x46554747) throw DataError("does not start with GGUF");  // "GGUF", little-endian
  const auto version = cursor.read<uint32_t>();
  if (version != 2 && version != 3)
    throw DataError(fmt::format("GGUF version {} is not supported; 2 and 3 are", version));
  const auto tensor_count = cursor.read<uint64_t>(), value_count = cursor.read<uint64_t>();
  for (uint64_t i = 0; i < value_count; ++i) {
    const std::string key = cursor.text();
    if (!metadata.emplace(key, read_value(cursor)).second) throw DataError(fmt::format("key {} is there twice", key));
  }
  std::vector<TensorEntry> entries;
  for (uint64_t i = 0; i < tensor_count; ++i) entries.push_back(read_tensor_entry(cursor));
  uint64_t alignment = 32;
  if (const auto found = metadata.find("general.alignment"); found != metadata.end()) {
    const int64_t* value = std::get_if<int64_t>(&found->second);
    if (value == nullptr || *value < 1 || *value > 1 << 20 || !std::has_single_bit(static_cast<uint64_t>(*value))) {
      throw DataError("general.alignment is not a power of two");
    }
    alignment = static_cast<uint64_t>(*value);
  }
  const uint64_t start = (cursor.position() + alignment - 1) / alignment * alignment;
  if (start > file.size()) throw DataError("ends before its tensors; the file is cut short");
  place_tensors(entries, file.subspan(start), alignment);
  return entries;
}

}  // namespace

GgufFile::GgufFile(const std::filesystem::path& path) : path_(path.string()), file_(path) {
  try {
    for (TensorEntry& entry : read_header(file_.bytes(), metadata_)) {
      if (!tensors_.emplace(entry.name, std::move(entry.tensor)).second) {
        throw DataError(fmt::format("tensor {} is there twice", entry.name));
      }
    }
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", path_, error.what()));
  }
}

template <class T>
const T& GgufFile::find(const std::string& key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) throw DataError(fmt::format("{}: key {} is missing", path_, key));
  const T* value = std::get_if<T>(&found->second);
  if (value == nullptr) throw DataError(fmt::format("{}: key {} has another type than expected", path_, key));
  return *value;
}

template const std::vector<int64_t>& GgufFile::find(const std::string&) const;
template const std::vector<double>& GgufFile::find(const std::string&) const;
template const std::vector<std::string>& GgufFile::find(const std::string&) const;

int64_t GgufFile::integer(const std::string& key, std::optional<int64_t> fallback) const {
  return fallback && !metadata_.contains(key) ? *fallback : find<int64_t>(key);
}

double GgufFile::number(const std::string& key, std::optional<double> fallback) const {
  return fallback && !metadata_.contains(key) ? *fallback : find<double>(key);
}

std::string GgufFile::text(const std::string& key, std::optional<std::string> fallback) const {
  return fallback && !metadata_.contains(key) ? *fallback : find<std::string>(key);
}

}  // namespace starling

#include "model/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"

namespace starling {
namespace {

using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian and mapped as they are");

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference reader
constexpr size_t kHeaderAlignment = 64;            // so that mapped tensors start at a cache line

// shape * bytes a value; nothing on a negative size or an overflow.
std::optional<uint64_t> byte_count(std::span<const int64_t> shape, size_t dtype_bytes) {
  uint64_t total = dtype_bytes;
  for (int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(total, static_cast<uint64_t>(size), &total)) return std::nullopt;
  }
  return total;
}

uint64_t offset_value(const Json& value) {
  if (!value.is_number_unsigned()) throw DataError("data_offsets must be two non-negative integers");
  return value.get<uint64_t>();
}

TensorInfo parse_tensor(const Json& entry, std::span<const std::byte> data) {
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets")) {
    throw DataError("needs dtype, shape and data_offsets");
  }
  const Json &dtype = entry["dtype"], &shape = entry["shape"], &offsets = entry["data_offsets"];
  if (!dtype.is_string() || safetensors_dtype_bytes(dtype.get<std::string>()) == 0) {
    throw DataError("unknown dtype " + dtype.dump(-1, ' ', true, Json::error_handler_t::replace));
  }
  TensorInfo info{.dtype = dtype.get<std::string>()};
  if (!shape.is_array()) throw DataError("shape is not an array");
  for (const Json& size : shape) {
    if (!size.is_number_unsigned()) throw DataError("shape holds something that is not a non-negative integer");
    info.shape.push_back(size.get<int64_t>());
  }
  if (!offsets.is_array() || offsets.size() != 2) throw DataError("data_offsets must be two non-negative integers");
  const uint64_t begin = offset_value(offsets[0]), end = offset_value(offsets[1]);
  if (begin > end || end > data.size()) {
    throw DataError(fmt::format("data_offsets [{}, {}] are outside the {} data bytes; the file is cut short or damaged",
                                begin, end, data.size()));
  }
  const std::optional<uint64_t> expected = byte_count(info.shape, safetensors_dtype_bytes(info.dtype));
  if (expected != end - begin) {
    throw DataError(
        fmt::format("{} bytes do not fit {} of shape [{}]", end - begin, info.dtype, fmt::join(info.shape, ", ")));
  }
  info.bytes = data.subspan(begin, end - begin);
  return info;
}

// The data must be covered once: what no tensor names could hide anything, and an overlap means a damaged header.
void check_coverage(const std::map<std::string, TensorInfo>& tensors, std::span<const std::byte> data) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const auto& [name, info] : tensors) {
    const auto begin = static_cast<uint64_t>(info.bytes.data() - data.data());
    if (!info.bytes.empty()) ranges.emplace_back(begin, begin + info.bytes.size());
  }
  std::sort(ranges.begin(), ranges.end());
  uint64_t covered = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin < covered) throw DataError(fmt::format("two tensors share the data byte {}", begin));
    if (begin > covered) throw DataError(fmt::format("no tensor covers the data bytes {} to {}", covered, begin));
    covered = end;
  }
  if (covered != data.size()) {
    throw DataError(fmt::format("no tensor covers the data bytes {} to {}", covered, data.size()));
  }
}

std::string header_json(std::span<const TensorToWrite> tensors, const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    if (header.contains(tensor.name)) throw ShapeError(fmt::format("tensor {} is there twice", tensor.name));
    const size_t dtype_bytes = safetensors_dtype_bytes(tensor.dtype);
    if (dtype_bytes == 0 || byte_count(tensor.shape, dtype_bytes) != tensor.bytes) {
      throw ShapeError(fmt::format("tensor {}: {} bytes do not fit {} of shape [{}]", tensor.name, tensor.bytes,
                                   tensor.dtype, fmt::join(tensor.shape, ", ")));
    }
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + tensor.bytes}}};
    offset += tensor.bytes;
  }
  std::string text = header.is_null() ? "{}" : dump_json(header);
  const size_t with_length = sizeof(uint64_t) + text.size();
  text.append((kHeaderAlignment - with_length % kHeaderAlignment) % kHeaderAlignment, ' ');
  return text;
}

}  // namespace

size_t safetensors_dtype_bytes(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  if (dtype == "I8" || dtype == "U8" || dtype == "BOOL" || dtype == "F8_E4M3" || dtype == "F8_E5M2") return 1;
  return 0;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : path_(path.string()), file_(path) {
  const std::span<const std::byte> file = file_.bytes();
  uint64_t header_bytes = 0;
  if (file.size() < sizeof header_bytes) throw DataError(fmt::format("{}: too short for a safetensors file", path_));
  std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > file.size() - sizeof header_bytes) {
    throw DataError(
        fmt::format("{}: header length {} does not fit the file of {} bytes; it is cut short or not safetensors", path_,
                    header_bytes, file.size()));
  }
  const std::string_view text = file_.text().substr(sizeof header_bytes, header_bytes);
  const Json header = try_parse_json(text);
  if (!header.is_object()) throw DataError(fmt::format("{}: the header is not a JSON object", path_));
  const std::span<const std::byte> data = file.subspan(sizeof header_bytes + header_bytes);
  for (const auto& [name, entry] : header.items()) {
    try {
      if (name != "__metadata__") {
        tensors_[name] = parse_tensor(entry, data);
      } else {
        if (!entry.is_object()) throw DataError("is not an object");
        for (const auto& [key, value] : entry.items()) {
          if (!value.is_string()) throw DataError("holds something that is not text");
          metadata_[key] = value.get<std::string>();
        }
      }
    } catch (const DataError& error) {
      throw DataError(fmt::format("{}: {}: {}", path_, name, error.what()));
    }
  }
  try {
    check_coverage(tensors_, data);
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", path_, error.what()));
  }
}

const TensorInfo& SafetensorsFile::tensor(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) throw DataError(fmt::format("{}: tensor {} is missing", path_, name));
  return found->second;
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata) {
  write_safetensors(path, tensors, metadata,
                    [&](size_t i, const AppendBytes& append) { append(tensors[i].data, tensors[i].bytes); });
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata, const AppendTensor& append_tensor) {
  const std::string header = header_json(tensors, metadata);
  const uint64_t header_bytes = header.size();
  write_file_atomic(path, [&](const AppendBytes& append) {
    append(&header_bytes, sizeof header_bytes);
    append(header.data(), header.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      size_t appended = 0;
      append_tensor(i, [&](const void* data, size_t size) { append(data, size), appended += size; });
      if (appended != tensors[i].bytes)
        throw ShapeError(
            fmt::format("tensor {}: {} bytes were written of {}", tensors[i].name, appended, tensors[i].bytes));
    }
  });
}

}  // namespace starling

// Writes GGUF files (version 3) that gguf.h and other engines read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "model/gguf.h"

namespace starling {

struct GgufTensorToWrite {
  std::string name;
  GgufType type = GgufType::f32;
  std::vector<int64_t> shape;                                       // row-major: [rows, cols] or [cols]
  std::function<void(int64_t row, std::span<float> out)> read_row;  // called once a row, in order
};

// Integers are written as u32 when they fit and as i64 otherwise, lists of integers as i32, numbers as f32. One row at
// a time is in memory; the file appears when it is whole. Throws IoError, ShapeError, DataError (a value not finite).
void write_gguf(const std::filesystem::path& path, const std::map<std::string, GgufValue>& metadata,
                const std::vector<GgufTensorToWrite>& tensors);

}  // namespace starling

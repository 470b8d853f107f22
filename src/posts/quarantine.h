// Rows that could not be read, kept in `posts/quarantine.jsonl` so that nothing is lost: one JSON object a line with
// file, line, reason, and the row as `raw`, or `raw_base64` where it is not UTF-8; `cut` says that only the first
// kMaxRawBytes are there. The same row of the same file is kept once, however often it is read.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <unordered_set>

#include "core/file.h"
#include "posts/row_reader.h"

namespace starling {

class Quarantine {
 public:
  static constexpr size_t kMaxRawBytes = 64 << 10;

  explicit Quarantine(std::filesystem::path path);
  void add(const std::string& file, const Row& row);
  void sync();

 private:
  std::filesystem::path path_;
  std::unique_ptr<AppendFile> file_;    // made with the first row
  std::unordered_set<uint64_t> known_;  // hashes of the lines that are there
};

}  // namespace starling

// Rows for one computation: in memory, or, beyond a limit, in an unnamed file of `folder` that the system pages in and
// out. Throws IoError.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/scratch_file.h"

namespace starling {

template <typename Row>
class ScratchRows {
  static_assert(std::is_trivially_copyable_v<Row>);

 public:
  ScratchRows() = default;  // of no row
  ScratchRows(uint64_t max_memory_bytes, std::filesystem::path folder)
      : max_rows_(scratch_rows_in<Row>(max_memory_bytes)), folder_(std::move(folder)) {}
  explicit ScratchRows(std::vector<Row> rows) : memory_(std::move(rows)) {}

  void push(const Row& row) {
    if (memory_.size() == max_rows_) write();
    memory_.push_back(row);
  }

  // In the order of push(), which is not called again. Valid as long as this object or what it was moved to.
  std::span<Row> rows() {
    if (!file_) return memory_;
    if (mapped_.empty()) map();
    return mapped_;
  }

  bool on_disk() const { return file_ != nullptr; }

 private:
  void write() {
    if (!file_) file_ = std::make_unique<ScratchFile>(folder_);
    file_->append(memory_.data(), memory_.size() * sizeof(Row));
    memory_.clear();
  }

  void map() {
    write();
    memory_ = {};
    const std::span<std::byte> bytes = file_->map();
    mapped_ = {reinterpret_cast<Row*>(bytes.data()), bytes.size() / sizeof(Row)};
  }

  size_t max_rows_ = 0;
  std::filesystem::path folder_;
  std::vector<Row> memory_;
  std::unique_ptr<ScratchFile> file_;
  std::span<Row> mapped_;
};

}  // namespace starling

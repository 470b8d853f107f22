// An unnamed file for one computation: it goes with this object, or with the process however that ends. Throws IoError.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace starling {

class ScratchFile {
 public:
  explicit ScratchFile(const std::filesystem::path& folder);
  ScratchFile(const ScratchFile&) = delete;
  ~ScratchFile();
  void append(const void* data, size_t size);
  void read(uint64_t offset, void* data, size_t size) const;
  // All that was appended, as memory that the system pages in and out. Once; nothing is appended afterwards.
  std::span<std::byte> map();

 private:
  std::string name_;  // for errors
  int fd_ = -1;
  uint64_t size_ = 0;
  std::byte* mapped_ = nullptr;
};

// How many rows may be kept in memory before they go to a file. Half of the limit, since a vector may take twice its
// rows while it grows; and some in any case, so that no file is read or written row by row.
template <typename Row>
size_t scratch_rows_in(uint64_t max_memory_bytes) {
  constexpr uint64_t kLeast = 64;
  return static_cast<size_t>(std::max(max_memory_bytes / 2 / sizeof(Row), kLeast));
}

}  // namespace starling

// Numbers for one computation: in memory, or, beyond a limit, in an unnamed file of `folder` that the system pages in
// and out. Throws IoError.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace starling {

class ScratchArray {
 public:
  ScratchArray(size_t count, uint64_t max_memory_bytes, const std::filesystem::path& folder);
  ScratchArray(const ScratchArray&) = delete;
  ~ScratchArray();
  std::span<uint32_t> values() { return {data_, count_}; }  // 0 at first
  bool on_disk() const { return on_disk_; }

 private:
  uint32_t* data_ = nullptr;
  size_t count_;
  bool on_disk_;
};

}  // namespace starling

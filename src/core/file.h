// Files: whole reads, memory maps, writes that are atomic or durable, an exclusive lock. All throw IoError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace starling {

std::string read_file(const std::filesystem::path& path);

// Writes to `path`.tmp in the same folder, fsyncs, renames over `path`, fsyncs the folder. Either the old or the new
// content is there after a crash; a full disk leaves the old content and removes the temporary file.
void write_file_atomic(const std::filesystem::path& path, std::string_view content);

// The same for content too large to build in memory: `write` receives an append function.
using AppendBytes = std::function<void(const void* data, size_t size)>;
void write_file_atomic(const std::filesystem::path& path, const std::function<void(const AppendBytes&)>& write);

// Makes `target` (a folder) from what `write` puts into a hidden folder beside it, synced and renamed; replaces
// `target`.
void write_folder_atomic(const std::filesystem::path& target,
                         const std::function<void(const std::filesystem::path&)>& write);

// fsync of a file or folder by path.
void sync_path(const std::filesystem::path& path);

// A read-only memory map of a whole file. Movable. An empty file maps to an empty span.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// An append-only file. append() writes the whole of `data` or throws and truncates back to the length before;
// sync() makes what was appended durable.
class AppendFile {
 public:
  explicit AppendFile(const std::filesystem::path& path);  // created when missing
  AppendFile(const AppendFile&) = delete;
  ~AppendFile();
  void append(std::string_view data);
  void sync();
  uint64_t size() const { return size_; }

 private:
  std::string path_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

// An exclusive advisory lock on `path` (created when missing), held until destruction. When another process holds it:
// throws IoError naming the holder's process id and `purpose`.
class FileLock {
 public:
  FileLock(const std::filesystem::path& path, const std::string& purpose);
  FileLock(const FileLock&) = delete;
  ~FileLock();

 private:
  int fd_ = -1;
};

}  // namespace starling

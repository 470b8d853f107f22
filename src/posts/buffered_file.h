// A new file that gathers small writes; an old one of that name goes.
#pragma once

#include <filesystem>
#include <string>

#include "core/file.h"

namespace starling {

class BufferedFile {
 public:
  explicit BufferedFile(const std::filesystem::path& path) : file_((std::filesystem::remove(path), path)) {}
  void append(const void* data, size_t size) {
    buffer_.append(static_cast<const char*>(data), size);
    if (buffer_.size() >= kBufferBytes) flush();
  }
  void flush() {
    file_.append(buffer_);
    buffer_.clear();
  }
  void finish() {  // durable when it returns
    flush();
    file_.sync();
  }

 private:
  static constexpr size_t kBufferBytes = 1 << 20;
  AppendFile file_;
  std::string buffer_;
};

}  // namespace starling

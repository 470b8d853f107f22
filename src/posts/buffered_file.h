// A new file that gathers small writes; an old one of that name goes.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/file.h"

namespace starling {

class BufferedFile {
 public:
  explicit BufferedFile(const std::filesystem::path& path) : file_((std::filesystem::remove(path), path)) {}
  void append(const void* data, size_t size) {
    const std::string_view bytes(static_cast<const char*>(data), size);
    if (buffer_.size() + size >= kBufferBytes) flush();
    if (size >= kBufferBytes) file_.append(bytes);  // it may be larger than the memory
    else buffer_.append(bytes);
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

// For the fuzz targets, *_fuzz.cc beside each parser: `make fuzz`. A parser may refuse an input with one of our errors;
// any other exception ends the program, which the fuzzer reports like a crash.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/file.h"

namespace starling {

inline void may_be_refused(const std::function<void()>& parse) {
  try {
    parse();
  } catch (const Error&) {
  }
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Takes the input's first byte: which of a parser's forms the rest is meant for.
inline uint8_t take_choice(std::string_view& text) {
  if (text.empty()) return 0;
  const auto choice = static_cast<uint8_t>(text[0]);
  text.remove_prefix(1);
  return choice;
}

// The input as a file, in memory.
class FuzzFile {
 public:
  explicit FuzzFile(std::string_view text) : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    if (descriptor_ < 0 || ::write(descriptor_, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      std::abort();
  }
  FuzzFile(const FuzzFile&) = delete;
  ~FuzzFile() { ::close(descriptor_); }
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

// For parsers that want a folder or a workspace: one of this process, removed at its end.
class FuzzFolder {
 public:
  FuzzFolder() : path_("/dev/shm/starling-fuzz-" + std::to_string(::getpid())) {
    std::filesystem::create_directories(path_);
  }
  FuzzFolder(const FuzzFolder&) = delete;
  ~FuzzFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, std::string_view text) const { write_file_atomic(path_ / name, text); }

 private:
  std::filesystem::path path_;
};

}  // namespace starling

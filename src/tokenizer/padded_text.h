// A text followed by kTextPadding zero bytes, so that a scanner may load whole vectors at any position of it.
#pragma once

#include <cstring>
#include <memory>
#include <string_view>

namespace starling {

inline constexpr size_t kTextPadding = 64;

struct PaddedText {
  const char* data = nullptr;  // size bytes, then kTextPadding zeros
  size_t size = 0;
};

// Copies texts into one growing piece of memory. A text lives until the next call.
class PaddedBuffer {
 public:
  PaddedText assign(std::string_view text) {
    char* data = reserve(text.size());
    if (!text.empty()) std::memcpy(data, text.data(), text.size());
    return finish(text.size());
  }
  // For a text made in place: at most `size` bytes are written to the result, then finish() says how many.
  char* reserve(size_t size) {
    if (size + kTextPadding > capacity_) {
      capacity_ = 2 * size + kTextPadding;
      bytes_ = std::make_unique_for_overwrite<char[]>(capacity_);
    }
    return bytes_.get();
  }
  PaddedText finish(size_t size) {
    std::memset(bytes_.get() + size, 0, kTextPadding);
    return {bytes_.get(), size};
  }

 private:
  std::unique_ptr<char[]> bytes_;
  size_t capacity_ = 0;
};

}  // namespace starling

// Reads a file or standard input as a stream of bytes: plain, gzip or zstd, told apart by their first bytes, also
// several gzip members or zstd frames one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace starling {

class ByteStream {
 public:
  virtual ~ByteStream() = default;

  // "-" is standard input. Throws IoError when it cannot be opened.
  static std::unique_ptr<ByteStream> open(const std::filesystem::path& path);

  // Up to `size` bytes; 0 only at the end. Throws IoError when the system fails, DataError with the path when
  // compressed data is damaged or ends early.
  virtual size_t read(char* buffer, size_t size) = 0;
  virtual uint64_t consumed_bytes() const = 0;  // of the file as stored, for progress
  virtual bool is_compressed() const { return true; }
};

// Lines of a stream, bounded in memory: of a line longer than `max_bytes` only the first max_bytes are kept.
class LineReader {
 public:
  struct Line {
    std::string_view text;  // without the line end ("\n" or "\r\n"); valid until the next call
    uint64_t number = 0;    // from 1
    uint64_t bytes = 0;     // true length
    bool complete = true;   // false: the stream ended before a line end
    bool too_long = false;  // `text` is only the first max_bytes
  };

  LineReader(ByteStream& stream, size_t max_bytes);
  bool next(Line& line);

 private:
  bool fill();
  ByteStream& stream_;
  size_t max_bytes_;
  std::string block_, line_;
  size_t position_ = 0, end_ = 0;
  uint64_t number_ = 0;
};

}  // namespace starling

#include "posts/byte_stream.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/error.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBlockBytes = 1 << 17;
// 128 MB: the largest window `zstd --long` writes by default; a larger one could ask for any amount of memory.
constexpr int kMaxWindowLog = 27;

// The stored bytes, with a look at the first few before they are read.
class RawFile {
 public:
  explicit RawFile(const fs::path& path) : path_(path == "-" ? "standard input" : path.string()) {
    fd_ = path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) throw io_error(path_, "open");
  }
  RawFile(const RawFile&) = delete;
  ~RawFile() { ::close(fd_); }

  std::string_view peek(size_t size) {
    while (end_ < size && !finished_) fill();
    return {block_.data(), std::min(size, end_)};
  }
  // The unread bytes; empty at the end.
  std::string_view unread() {
    if (begin_ == end_ && !finished_) {
      begin_ = end_ = 0;
      fill();
    }
    return {block_.data() + begin_, end_ - begin_};
  }
  void consume(size_t size) {
    begin_ += size;
    consumed_ += size;
  }
  uint64_t consumed() const { return consumed_; }
  const std::string& path() const { return path_; }

 private:
  void fill() {
    for (;;) {
      const ssize_t count = ::read(fd_, block_.data() + end_, block_.size() - end_);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw io_error(path_, "read");
      finished_ = count == 0;
      end_ += static_cast<size_t>(count);
      return;
    }
  }

  std::string path_;
  int fd_ = -1;
  std::vector<char> block_ = std::vector<char>(kBlockBytes);
  size_t begin_ = 0, end_ = 0;
  bool finished_ = false;
  uint64_t consumed_ = 0;
};

class PlainStream : public ByteStream {
 public:
  explicit PlainStream(std::unique_ptr<RawFile> file) : file_(std::move(file)) {}
  size_t read(char* buffer, size_t size) override {
    const std::string_view bytes = file_->unread().substr(0, size);
    std::memcpy(buffer, bytes.data(), bytes.size());
    file_->consume(bytes.size());
    return bytes.size();
  }
  uint64_t consumed_bytes() const override { return file_->consumed(); }
  bool is_compressed() const override { return false; }

 private:
  std::unique_ptr<RawFile> file_;
};

class GzipStream : public ByteStream {
 public:
  explicit GzipStream(std::unique_ptr<RawFile> file) : file_(std::move(file)) {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw IoError(file_->path() + ": zlib could not start");
  }
  ~GzipStream() override { inflateEnd(&stream_); }

  size_t read(char* buffer, size_t size) override {
    stream_.next_out = reinterpret_cast<Bytef*>(buffer);
    stream_.avail_out = static_cast<uInt>(std::min<size_t>(size, 1u << 30));
    const uInt wanted = stream_.avail_out;
    while (stream_.avail_out == wanted) {
      const std::string_view input = file_->unread();
      if (input.empty() && between_members_) return 0;
      if (input.empty()) throw DataError(file_->path() + ": the gzip data ends early; the file is truncated");
      if (!inflate_some(input))
        throw DataError(fmt::format("{}: damaged gzip data near byte {}", file_->path(), file_->consumed()));
    }
    return wanted - stream_.avail_out;
  }
  uint64_t consumed_bytes() const override { return file_->consumed(); }

 private:
  bool inflate_some(std::string_view input) {
    if (between_members_ && inflateReset(&stream_) != Z_OK) return false;
    between_members_ = false;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
    stream_.avail_in = static_cast<uInt>(input.size());
    const int code = inflate(&stream_, Z_NO_FLUSH);
    file_->consume(input.size() - stream_.avail_in);
    between_members_ = code == Z_STREAM_END;
    return code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR;
  }

  std::unique_ptr<RawFile> file_;
  z_stream stream_{};
  bool between_members_ = false;
};

class ZstdStream : public ByteStream {
 public:
  explicit ZstdStream(std::unique_ptr<RawFile> file)
      : file_(std::move(file)), context_(ZSTD_createDCtx(), &ZSTD_freeDCtx) {
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
  }

  size_t read(char* buffer, size_t size) override {
    ZSTD_outBuffer output{buffer, size, 0};
    while (output.pos == 0) {
      const std::string_view bytes = file_->unread();
      if (bytes.empty() && frame_done_) return 0;
      ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
      const size_t code = ZSTD_decompressStream(context_.get(), &output, &input);
      file_->consume(input.pos);
      if (ZSTD_isError(code))
        throw DataError(fmt::format("{}: damaged zstd data near byte {}: {}", file_->path(), file_->consumed(),
                                    ZSTD_getErrorName(code)));
      frame_done_ = code == 0;
      if (bytes.empty() && output.pos == 0 && !frame_done_)
        throw DataError(file_->path() + ": the zstd data ends early; the file is truncated");
    }
    return output.pos;
  }
  uint64_t consumed_bytes() const override { return file_->consumed(); }

 private:
  std::unique_ptr<RawFile> file_;
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context_;
  bool frame_done_ = false;
};

}  // namespace

std::unique_ptr<ByteStream> ByteStream::open(const fs::path& path) {
  auto file = std::make_unique<RawFile>(path);
  const std::string_view magic = file->peek(4);
  if (magic.starts_with("\x1f\x8b")) return std::make_unique<GzipStream>(std::move(file));
  if (magic == "\x28\xb5\x2f\xfd") return std::make_unique<ZstdStream>(std::move(file));
  return std::make_unique<PlainStream>(std::move(file));
}

LineReader::LineReader(ByteStream& stream, size_t max_bytes)
    : stream_(stream), max_bytes_(max_bytes), block_(kBlockBytes, '\0') {}

bool LineReader::fill() {
  position_ = 0;
  end_ = stream_.read(block_.data(), block_.size());
  return end_ > 0;
}

bool LineReader::next(Line& line) {
  line_.clear();
  line = {};
  bool any = false;
  line.complete = false;
  while (!line.complete && (position_ < end_ || fill())) {
    any = true;
    const char* begin = block_.data() + position_;
    const auto* newline = static_cast<const char*>(std::memchr(begin, '\n', end_ - position_));
    const size_t length = newline ? static_cast<size_t>(newline - begin) : end_ - position_;
    line_.append(begin, std::min(length, max_bytes_ - std::min(max_bytes_, line_.size())));
    line.bytes += length;
    line.complete = newline != nullptr;
    position_ += length + (newline ? 1 : 0);
  }
  if (!any) return false;
  line.number = ++number_;
  line.text = line_;
  line.too_long = line.bytes > line_.size();
  if (!line.too_long && line.text.ends_with('\r')) line.text.remove_suffix(1);
  return true;
}

}  // namespace starling

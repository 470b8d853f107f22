#include "core/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/error.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

class Descriptor {
 public:
  Descriptor(const fs::path& path, int flags, mode_t mode = 0644) : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
    if (fd_ < 0) throw io_error(path.string(), "open");
  }
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() { ::close(fd_); }
  int get() const { return fd_; }

 private:
  int fd_;
};

void write_all(int fd, const char* data, size_t size, const std::string& path) {
  while (size > 0) {
    const ssize_t written = ::write(fd, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw io_error(path, "write");
    data += written;
    size -= static_cast<size_t>(written);
  }
}

uint64_t file_size(int fd, const std::string& path) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw io_error(path, "stat");
  if (S_ISDIR(status.st_mode)) {
    errno = EISDIR;
    throw io_error(path, "read");
  }
  return static_cast<uint64_t>(status.st_size);
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

// In one step where the file system can, so that neither a reader nor a kill finds no `target`; the older folder is
// then at `fresh`. Otherwise it goes to `replaced` first.
void put_in_place(const fs::path& fresh, const fs::path& target, const fs::path& replaced) {
  if (!fs::exists(target)) return fs::rename(fresh, target);
  if (::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) return;
  if (errno != EINVAL && errno != ENOSYS) throw io_error(target.string(), "rename");
  fs::rename(target, replaced);
  fs::rename(fresh, target);
}

}  // namespace

std::string read_file(const fs::path& path) {
  Descriptor file(path, O_RDONLY);
  std::string content;
  char block[1 << 16];
  for (;;) {
    const ssize_t count = ::read(file.get(), block, sizeof block);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw io_error(path.string(), "read");
    if (count == 0) return content;
    content.append(block, static_cast<size_t>(count));
  }
}

void sync_path(const fs::path& path) {
  Descriptor file(path, O_RDONLY);
  if (::fsync(file.get()) != 0) throw io_error(path.string(), "fsync");
}

void write_file_atomic(const fs::path& path, std::string_view content) {
  write_file_atomic(path, [&](const AppendBytes& append) { append(content.data(), content.size()); });
}

void write_file_atomic(const fs::path& path, const std::function<void(const AppendBytes&)>& write) {
  fs::path temporary = path;
  temporary += ".tmp";
  try {
    Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
    write([&](const void* data, size_t size) {
      write_all(file.get(), static_cast<const char*>(data), size, temporary.string());
    });
    if (::fsync(file.get()) != 0) throw io_error(temporary.string(), "fsync");
    if (::rename(temporary.c_str(), path.c_str()) != 0) throw io_error(path.string(), "rename");
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_path(folder_of(path));
}

void write_folder_atomic(const fs::path& target, const std::function<void(const fs::path&)>& write) {
  const fs::path hidden = target.parent_path() / ("." + target.filename().string() + ".new");
  const fs::path replaced = target.parent_path() / ("." + target.filename().string() + ".old");
  try {
    fs::create_directories(target.parent_path());
    fs::remove_all(hidden);
    fs::remove_all(replaced);
    fs::create_directory(hidden);
    write(hidden);
    sync_path(hidden);
    put_in_place(hidden, target, replaced);
    sync_path(target.parent_path());
    fs::remove_all(hidden);
    fs::remove_all(replaced);
  } catch (const std::exception& error) {
    std::error_code ignored;  // the first error is the one to report
    fs::remove_all(hidden, ignored);
    if (dynamic_cast<const fs::filesystem_error*>(&error))
      throw IoError(fmt::format("{}: {}", target.string(), error.what()));
    throw;
  }
}

MappedFile::MappedFile(const fs::path& path) {
  Descriptor file(path, O_RDONLY);
  size_ = file_size(file.get(), path.string());
  if (size_ == 0) return;
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) throw io_error(path.string(), "mmap");
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

AppendFile::AppendFile(const fs::path& path) : path_(path.string()) {
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) throw io_error(path_, "open for append");
  size_ = file_size(fd_, path_);
}

AppendFile::~AppendFile() { ::close(fd_); }

void AppendFile::append(std::string_view data) {
  try {
    write_all(fd_, data.data(), data.size(), path_);
  } catch (...) {
    if (::ftruncate(fd_, static_cast<off_t>(size_)) != 0) throw io_error(path_, "truncate after a failed write");
    throw;
  }
  size_ += data.size();
}

void AppendFile::sync() {
  if (::fdatasync(fd_) != 0) throw io_error(path_, "fdatasync");
}

FileLock::FileLock(const fs::path& path, const std::string& purpose) {
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) throw io_error(path.string(), "open lock");
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const ssize_t length = ::read(fd_, holder, sizeof holder - 1);
    ::close(fd_);
    throw IoError(fmt::format("{}: process {} already holds this lock; wait for it or stop it before you {}",
                              path.string(), length > 0 ? std::atol(holder) : 0L, purpose));
  }
  const std::string holder = fmt::format("{}\n", ::getpid());
  if (::ftruncate(fd_, 0) != 0 || ::write(fd_, holder.data(), holder.size()) < 0) {
    ::close(fd_);
    throw io_error(path.string(), "write lock");
  }
}

FileLock::~FileLock() { ::close(fd_); }

}  // namespace starling

#include "core/scratch_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/error.h"

namespace starling {

ScratchFile::ScratchFile(const std::filesystem::path& folder) : name_(folder / "scratch-XXXXXX") {
  fd_ = ::mkostemp(name_.data(), O_CLOEXEC);
  if (fd_ < 0) throw io_error(name_, "create");
  ::unlink(name_.c_str());
}

ScratchFile::~ScratchFile() {
  if (mapped_ != nullptr) ::munmap(mapped_, size_);
  ::close(fd_);
}

void ScratchFile::append(const void* data, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t written = ::write(fd_, static_cast<const char*>(data) + done, size - done);
    if (written < 0 && errno != EINTR) throw io_error(name_, "write");
    done += static_cast<size_t>(std::max<ssize_t>(written, 0));
  }
  size_ += size;
}

void ScratchFile::read(uint64_t offset, void* data, size_t size) const {
  for (size_t done = 0; done < size;) {
    const ssize_t got = ::pread(fd_, static_cast<char*>(data) + done, size - done, static_cast<off_t>(offset + done));
    if (got == 0) throw IoError(name_ + ": read: the file is shorter than what was written");
    if (got < 0 && errno != EINTR) throw io_error(name_, "read");
    done += static_cast<size_t>(std::max<ssize_t>(got, 0));
  }
}

// Every block has been written, so a full disk was an error then: a page that finds no block would kill the process.
std::span<std::byte> ScratchFile::map() {
  void* const mapped = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (mapped == MAP_FAILED) throw io_error(name_, "map");
  mapped_ = static_cast<std::byte*>(mapped);
  return {mapped_, size_};
}

}  // namespace starling

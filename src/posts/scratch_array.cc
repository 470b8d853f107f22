#include "posts/scratch_array.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "core/error.h"

namespace starling {
namespace {

// A full disk must be an error here: a page that finds no block when it is first written kills the process.
int unnamed_file(const std::filesystem::path& folder, size_t bytes) {
  std::string name = folder / "scratch-XXXXXX";
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) throw io_error(name, "create");
  ::unlink(name.c_str());
  if (const int code = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes)); code != 0) {
    ::close(fd);
    errno = code;
    throw io_error(name, "reserve space for");
  }
  return fd;
}

}  // namespace

ScratchArray::ScratchArray(size_t count, uint64_t max_memory_bytes, const std::filesystem::path& folder)
    : count_(count), on_disk_(count * sizeof(uint32_t) > max_memory_bytes) {
  if (count == 0) return;
  const size_t bytes = count * sizeof(uint32_t);
  const int fd = on_disk_ ? unnamed_file(folder, bytes) : -1;
  void* mapped =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, on_disk_ ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
  if (fd >= 0) ::close(fd);  // the map keeps the file
  if (mapped == MAP_FAILED) throw io_error(folder.string(), "map scratch memory in");
  data_ = static_cast<uint32_t*>(mapped);
}

ScratchArray::~ScratchArray() {
  if (data_ != nullptr) ::munmap(data_, count_ * sizeof(uint32_t));
}

}  // namespace starling

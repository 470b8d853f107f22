#include "core/large_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace starling {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t rounded_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

void FreeLargeMemory::operator()(void* memory) const {
  mapped > 0 ? static_cast<void>(::munmap(memory, mapped)) : std::free(memory);
}

std::unique_ptr<std::byte[], FreeLargeMemory> allocate_large_memory(size_t bytes) {
  using Memory = std::unique_ptr<std::byte[], FreeLargeMemory>;
  if (bytes < kHugePage) {
    const size_t size = rounded_up(std::max<size_t>(bytes, 1), 64);
    void* memory = std::aligned_alloc(64, size);
    if (memory == nullptr) throw std::bad_alloc();
    std::memset(memory, 0, size);
    return Memory(static_cast<std::byte*>(memory));
  }
  const size_t size = rounded_up(bytes, kHugePage);
  void* mapped = ::mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  auto* begin = static_cast<std::byte*>(mapped);
  const size_t before = rounded_up(reinterpret_cast<uintptr_t>(begin), kHugePage) - reinterpret_cast<uintptr_t>(begin);
  if (before > 0) ::munmap(begin, before);
  if (before < kHugePage) ::munmap(begin + before + size, kHugePage - before);
  ::madvise(begin + before, size, MADV_HUGEPAGE);
  return Memory(begin + before, FreeLargeMemory{size});
}

}  // namespace starling

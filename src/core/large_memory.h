// Memory for what is read from end to end, or all over: weights, and the pages of keys and values.
#pragma once

#include <cstddef>
#include <memory>

namespace starling {

struct FreeLargeMemory {
  void operator()(void* memory) const;
  size_t mapped = 0;  // bytes; 0 for memory of the heap
};

template <class T>
using LargeArray = std::unique_ptr<T[], FreeLargeMemory>;

// Zeroed and aligned to 64 bytes. From 2 MB on it asks for huge pages, which the kernel zeroes when they are first
// written: else a page walk every 4 KB costs a tenth of the time to stream through weights. Throws std::bad_alloc.
std::unique_ptr<std::byte[], FreeLargeMemory> allocate_large_memory(size_t bytes);

template <class T>
LargeArray<T> allocate_large_array(size_t count) {
  auto memory = allocate_large_memory(count * sizeof(T));
  const FreeLargeMemory free = memory.get_deleter();
  return LargeArray<T>(reinterpret_cast<T*>(memory.release()), free);
}

}  // namespace starling

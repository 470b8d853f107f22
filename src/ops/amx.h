// Private to ops: AMX, the matrix unit of Intel processors since Sapphire Rapids. It has 8 tile registers of up to 16
// rows of 64 bytes for each thread; a product takes a tile of 16 rows a [16,K], of b [K/4,16,4] (bf16 [K/2,16,2]) and
// adds to one of 16 x 16 sums. Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1,
// chapter 18.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

// An attribute, not a compiler flag for a file: see avx512.h.
#define STARLING_AMX __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,amx-tile,amx-int8,amx-bf16")))

namespace starling {

// Of the processor, with products of int8 and bf16, and allowed to this process: Linux wants to be asked once.
bool amx_is_there();

// Holds the calling thread's tile registers while it lives.
class AmxTiles {
 public:
  struct Shape {
    int first, last;  // registers of this shape
    int64_t rows, row_bytes;
  };
  explicit AmxTiles(const std::vector<Shape>& shapes);
  ~AmxTiles();
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;
};

struct alignas(64) AmxLine {  // of the cache, and of a tile
  std::byte bytes[64];
};

// The compiler does not know that a tile instruction reads memory: what was written before must be there.
inline __attribute__((always_inline)) void finish_writes() { asm volatile("" ::: "memory"); }

}  // namespace starling

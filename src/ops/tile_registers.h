// Private to ops: eight tile registers of 16 rows of 64 bytes, and the instructions of a bf16 product on them. Those of
// the processor, and plain ones that keep to the manual's pseudo-code, so that what is built of either can be tested
// on every machine. A tile in memory is 16 lines of the cache, one after another.
//   dot: c[m,n] += (sum_p a[m,2p] b[2p,n]) + (sum_p a[m,2p+1] b[2p+1,n]), p = 0 to 15; a [16,32] bf16, b [16,16,2] bf16
//        (pairs of rows side by side), c [16,16] f32. Each sum by fma in f32, from 0, in the order of p; numbers below
//        2^-126 count as 0.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, TILELOADD, TILESTORED, TDPBF16PS.
#pragma once

#include <bit>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "ops/amx.h"
#include "tensor/bfloat16.h"

namespace starling {

template <int number>
struct Tile {};  // names a register

// As assembly: a compiler takes its own names for these instructions only in functions for such processors, and a
// template is for both kinds of registers.
class AmxRegisters {
 public:
  template <int tile>
  void zero(Tile<tile>) {
    asm volatile("tilezero %%tmm%c0" ::"i"(tile));
  }
  template <int tile>
  void load(Tile<tile>, const void* lines) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(lines), "r"(int64_t{64}), "i"(tile) : "memory");
  }
  template <int tile>
  void store(Tile<tile>, void* lines) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(lines), "r"(int64_t{64}), "i"(tile) : "memory");
  }
  template <int c, int a, int b>
  void dot(Tile<c>, Tile<a>, Tile<b>) {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b));
  }

 private:
  AmxTiles held_{{{0, 7, 16, 64}}};
};

class PlainRegisters {
 public:
  template <int tile>
  void zero(Tile<tile>) {
    std::memset(tiles_[tile], 0, sizeof tiles_[tile]);
  }
  template <int tile>
  void load(Tile<tile>, const void* lines) {
    std::memcpy(tiles_[tile], lines, sizeof tiles_[tile]);
  }
  template <int tile>
  void store(Tile<tile>, void* lines) {
    std::memcpy(lines, tiles_[tile], sizeof tiles_[tile]);
  }
  template <int c, int a, int b>
  void dot(Tile<c>, Tile<a>, Tile<b>) {
    for (int m = 0; m < 16; ++m) add_row(tiles_[c][m], tiles_[a][m], tiles_[b]);
  }

 private:
  static float flushed(float value) { return std::abs(value) < FLT_MIN ? std::copysign(0.0f, value) : value; }
  static float even(uint32_t pair) { return flushed(std::bit_cast<float>(pair << 16)); }
  static float odd(uint32_t pair) { return flushed(std::bit_cast<float>(pair & 0xffff0000u)); }

  static void add_row(uint32_t* c, const uint32_t* a, const uint32_t (&b)[16][16]) {
    float sums[2][16] = {};
    for (int p = 0; p < 16; ++p)
      for (int n = 0; n < 16; ++n) {
        sums[0][n] = flushed(std::fma(even(a[p]), even(b[p][n]), sums[0][n]));
        sums[1][n] = flushed(std::fma(odd(a[p]), odd(b[p][n]), sums[1][n]));
      }
    for (int n = 0; n < 16; ++n) {
      const float before = flushed(std::bit_cast<float>(c[n]));
      c[n] = std::bit_cast<uint32_t>(flushed(before + flushed(sums[0][n] + sums[1][n])));
    }
  }

  alignas(64) uint32_t tiles_[8][16][16] = {};
};

}  // namespace starling

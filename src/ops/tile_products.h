// Private to ops: products of packed tiles (packed_tiles.h) into sums in the first cache, by vectors or tile registers.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "ops/amx.h"
#include "ops/avx512.h"
#include "ops/packed_tiles.h"
#include "ops/tile_registers.h"

namespace starling {

// Four tiles side by side, of the columns of a right operand.
constexpr int64_t kBlockTiles = 4, kBlock = kBlockTiles * kTileSide, kBlockBytes = kBlockTiles * kTileBytes;
constexpr int64_t kBlockSums = kBlockTiles * kTileSums;

// sums [tiles][16][16] = or += a [steps] times the first tiles of b [steps][4].
struct TileProduct {
  float* sums;
  const std::byte *a, *b;
  int64_t steps;
  bool add;
};

// vdpbf16ps: four rows by all tiles at a time, in sixteen sums.
struct Avx512Products {
  template <int tiles>
  STARLING_AVX512_BF16 void multiply(const TileProduct& p) {
    constexpr int kRows = 4;
    for (int row = 0; row < kTileSide; row += kRows) {
      __m512 sums[kRows][tiles];
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
        for (int t = 0; t < tiles; ++t)
          sums[r][t] = p.add ? _mm512_load_ps(p.sums + t * kTileSums + (row + r) * kTileSide) : _mm512_setzero_ps();
      for (int64_t step = 0; step < p.steps; ++step) {
        const std::byte *a = p.a + step * kTileBytes + row * kTileLine, *b = p.b + step * kBlockBytes;
        for (int pair = 0; pair < kTileSide; ++pair) {
          __m512i columns[tiles];
#pragma GCC unroll 4
          for (int t = 0; t < tiles; ++t) columns[t] = _mm512_load_si512(b + t * kTileBytes + pair * kTileLine);
#pragma GCC unroll 4
          for (int r = 0; r < kRows; ++r) {
            int32_t two;
            std::memcpy(&two, a + r * kTileLine + pair * 4, 4);
            const auto both = reinterpret_cast<__m512bh>(_mm512_set1_epi32(two));
#pragma GCC unroll 4
            for (int t = 0; t < tiles; ++t)
              sums[r][t] = _mm512_dpbf16_ps(sums[r][t], both, reinterpret_cast<__m512bh>(columns[t]));
          }
        }
      }
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
        for (int t = 0; t < tiles; ++t) _mm512_store_ps(p.sums + t * kTileSums + (row + r) * kTileSide, sums[r][t]);
    }
  }
};

template <class Registers>
struct RegisterProducts {
  Registers registers;

  template <int tiles>
  void multiply(const TileProduct& p) {
    multiply(p, std::make_integer_sequence<int, tiles>());
  }

 private:
  template <int... t>
  void multiply(const TileProduct& p, std::integer_sequence<int, t...>) {
    finish_writes();
    ((p.add ? registers.load(Tile<t>(), p.sums + t * kTileSums) : registers.zero(Tile<t>())), ...);
    for (int64_t step = 0; step < p.steps; ++step) {
      registers.load(Tile<4>(), p.a + step * kTileBytes);
      const std::byte* b = p.b + step * kBlockBytes;
      ((registers.load(Tile<5 + t % 3>(), b + t * kTileBytes), registers.dot(Tile<t>(), Tile<4>(), Tile<5 + t % 3>())),
       ...);
    }
    (registers.store(Tile<t>(), p.sums + t * kTileSums), ...);
  }
};

// Of one to four tiles.
template <class Products>
void multiply(Products& products, int64_t tiles, const TileProduct& p) {
  switch (tiles) {
    case 1:
      return products.template multiply<1>(p);
    case 2:
      return products.template multiply<2>(p);
    case 3:
      return products.template multiply<3>(p);
    default:
      return products.template multiply<4>(p);
  }
}

}  // namespace starling

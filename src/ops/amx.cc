#include "ops/amx.h"

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace starling {
namespace {

bool processor_has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25;
  return (d & kBf16) != 0 && (d & kTile) != 0 && (d & kInt8) != 0;
}

// Tile registers make a thread's saved state 8 KB larger, so Linux gives them to processes that ask.
bool tiles_allowed() {
  constexpr int kArchRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kArchRequestPermission, kTileData) == 0;
}

struct alignas(64) TileConfiguration {  // as LDTILECFG reads it
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfiguration) == 64);

STARLING_AMX void load(const TileConfiguration& configuration) {
  finish_writes();
  _tile_loadconfig(&configuration);
}
STARLING_AMX void release() { _tile_release(); }

}  // namespace

bool amx_is_there() {
  static const bool there = processor_has_amx() && tiles_allowed();
  return there;
}

AmxTiles::AmxTiles(const std::vector<Shape>& shapes) {
  TileConfiguration configuration;
  for (const Shape& shape : shapes) {
    for (int tile = shape.first; tile <= shape.last; ++tile) {
      configuration.rows[tile] = static_cast<uint8_t>(shape.rows);
      configuration.row_bytes[tile] = static_cast<uint16_t>(shape.row_bytes);
    }
  }
  load(configuration);
}

AmxTiles::~AmxTiles() { release(); }

}  // namespace starling

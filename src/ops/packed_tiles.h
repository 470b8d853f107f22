// Private to ops: a bf16 operand of c = a b in the order in which tile registers read it (tile_registers.h).
//   tile    16 rows of a by 32 of k, [16][32]; or 16 columns of b by 32 of k, [16 pairs of k][16 columns][2]; 1 KB
//   panel   one or more tiles side by side, by all of k: [K/32 steps][tiles]
// What a last tile has too much is zeros.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "ops/amx.h"
#include "ops/matmul.h"
#include "tensor/bfloat16.h"

namespace starling {

constexpr int64_t kTileSide = 16, kStep = 32;  // rows or columns, of k
constexpr int64_t kTileSums = kTileSide * kTileSide;
// Bytes. A line is 16 pairs of neighbours in k of one row of a, or one pair of k of 16 columns of b.
constexpr int64_t kTileLine = 64, kTileBytes = kTileSide * kTileLine;

struct Range {
  int64_t first = 0, end = 0;
  int64_t count() const { return end - first; }
};

// Part `index` of `parts` that follow each other and differ by one at most.
inline Range part_of(Range whole, int64_t index, int64_t parts) {
  return {whole.first + whole.count() * index / parts, whole.first + whole.count() * (index + 1) / parts};
}
constexpr int64_t divide_up(int64_t count, int64_t divisor) { return (count + divisor - 1) / divisor; }

// A matrix seen along its own side, rows of a or columns of b, and along k. One of the strides is 1.
struct TileOperand {
  const bf16* data;
  int64_t extent, depth;  // of the side, of k
  int64_t side_stride, k_stride;
  bool is_left;

  int64_t panels(int64_t tiles) const { return divide_up(extent, tiles * kTileSide); }
  int64_t steps() const { return divide_up(depth, kStep); }
};
TileOperand left_operand(const ConstMatrix& a);
TileOperand right_operand(const ConstMatrix& b);

// Memory of panels of so many tiles, from one on, with their steps from one on.
struct PackedPanels {
  std::byte* data = nullptr;
  int64_t tiles = 1, first_panel = 0, first_step = 0, steps = 0;

  std::byte* at(int64_t panel, int64_t step) const {
    return data + ((panel - first_panel) * steps + step - first_step) * tiles * kTileBytes;
  }
};

void pack_panels(const PackedPanels& to, const TileOperand& operand, Range panels, Range steps);

// A tile of dwords turned: to [16 lines of 64 bytes] = from^T, whose rows are `stride` bytes apart.
void transpose_tile(std::byte* to, const std::byte* from, int64_t stride);

// Memory for tiles that only grows.
class TileMemory {
 public:
  std::byte* of_bytes(int64_t bytes) {
    lines_.resize(std::max(lines_.size(), static_cast<size_t>(divide_up(bytes, int64_t{sizeof(AmxLine)}))));
    return reinterpret_cast<std::byte*>(lines_.data());
  }
  float* of_floats(int64_t floats) { return reinterpret_cast<float*>(of_bytes(floats * int64_t{sizeof(float)})); }

 private:
  std::vector<AmxLine> lines_;
};

}  // namespace starling

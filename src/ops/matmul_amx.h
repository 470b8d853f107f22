// Private to ops: bf16 products of matmul.h on tile registers (tile_registers.h), whatever the strides of a and b.
//
// The order of sums: an element of c is made from 0, 32 of k after another in the order of tile_registers.h's dot, so
// all even k of 32 and all odd ones apart; then it is rounded to bf16, stored, or added to what c was. It depends on
// nothing else: not on the shape, the threads or where a product is cut into parts.
//
// Reasons for the blocks and what they should reach: docs/decisions/0018-*.
#pragma once

#include <cstdint>

#include "ops/matmul.h"

namespace starling {

enum class TileUnit { amx, plain };  // plain: the same bits on any processor, slowly, for tests

// On all compute threads, cut for `threads` of them. Arguments are checked.
void matmul_in_tiles(const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, Accumulate accumulate, TileUnit unit,
                     int64_t threads);

}  // namespace starling

#include "ops/quantized_kernels_amx.h"

#include <algorithm>
#include <cstring>

#include "core/threads.h"
#include "ops/avx512.h"
#include "ops/round_to_int8.h"
#include "ops/weight_steps.h"
#include "tensor/bfloat16.h"

#define STARLING_INLINE inline __attribute__((always_inline))
#define STARLING_UNROLL _Pragma("GCC unroll 16")

namespace starling {
namespace {

constexpr int64_t kTokens = AmxActivations::kTokens;
constexpr int kTileRow = 64;                              // bytes
constexpr int64_t kGroupRounded = kTokens * kScaleGroup;  // bytes of 32 columns of a tile of tokens
constexpr int64_t kGroupBf16 = 2 * kGroupRounded;
constexpr int64_t kGroupWeights = kRowBlock * kScaleGroup;  // int8 values of 32 columns of a block
constexpr int64_t kTileValues = kTokens * kRowBlock;        // of y

// A block's weights as signed bytes [K/4][16 rows][4 columns], once for all tiles of tokens.
template <class Steps>
void make_signed(int8_t* out, const QuantizedMatrix& w, int64_t block) {
  const Steps steps(w);
  const uint8_t *line = w.block_data(block), *end = line + w.padded_cols() / 4 / Steps::kOfLine * 64;
  const __m256i offset = _mm256_set1_epi8(static_cast<char>(0x80));
  auto* to = reinterpret_cast<__m256i*>(out);
  for (; line < end; line += 64)
    for (int step = 0; step < Steps::kOfLine; ++step)
      for (int half = 0; half < 2; ++half)
        _mm256_store_si256(to++, _mm256_xor_si256(steps(load_bytes(line + half * 32), step), offset));
}

// One tile of 16 tokens with one block of 16 rows.
struct IntegerTile {
  const std::byte* rows;
  const float* scales;
  const int8_t* weights;
  const uint16_t* weight_scales;

  // dots [2][16 tokens][16 rows] of two groups, each in registers of its own, so that neither waits for the other.
  STARLING_AMX STARLING_INLINE void multiply_two(int32_t* dots, int64_t group) const {
    const std::byte* x = rows + group * kGroupRounded;
    const int8_t* w = weights + group * kGroupWeights;
    _tile_zero(0);
    _tile_zero(1);
    _tile_loadd(2, x, kScaleGroup);
    _tile_loadd(4, w, kTileRow);
    _tile_dpbssd(0, 2, 4);
    _tile_loadd(3, x + kGroupRounded, kScaleGroup);
    _tile_loadd(5, w + kGroupWeights, kTileRow);
    _tile_dpbssd(1, 3, 5);
    _tile_stored(0, dots, kTileRow);
    _tile_stored(1, dots + kTileValues, kTileRow);
  }
  STARLING_AMX STARLING_INLINE void multiply_one(int32_t* dots, int64_t group) const {
    _tile_zero(0);
    _tile_loadd(2, rows + group * kGroupRounded, kScaleGroup);
    _tile_loadd(4, weights + group * kGroupWeights, kTileRow);
    _tile_dpbssd(0, 2, 4);
    _tile_stored(0, dots, kTileRow);
  }
  // total += scales * dots of one group
  STARLING_AVX512 STARLING_INLINE void add_scaled(__m512 (&total)[kTokens], const int32_t* dots, int64_t group) const {
    const auto* of_rows = reinterpret_cast<const __m256i*>(weight_scales + group * kRowBlock);
    const __m512 row_scales = _mm512_cvtph_ps(_mm256_loadu_si256(of_rows));
    STARLING_UNROLL
    for (int64_t t = 0; t < kTokens; ++t) {
      const __m512 scale = _mm512_mul_ps(row_scales, _mm512_set1_ps(scales[group * kTokens + t]));
      total[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_load_si512(dots + t * kRowBlock)), scale, total[t]);
    }
  }
  STARLING_AVX512 STARLING_INLINE void add_two(__m512 (&total)[kTokens], const int32_t* dots, int64_t group) const {
    add_scaled(total, dots, group);
    add_scaled(total, dots + kTileValues, group + 1);
  }
  // y [16 tokens][16 rows]. The sums of two groups are scaled while the next two are made: what a tile instruction
  // stored cannot be read back at once.
  STARLING_AMX void run(float* y, int64_t groups, const float* units) const {
    alignas(64) int32_t dots[2][2 * kTileValues];
    __m512 total[kTokens];
    STARLING_UNROLL
    for (__m512& token : total) token = _mm512_setzero_ps();
    const int64_t pairs = groups / 2;
    for (int64_t pair = 0; pair < pairs; ++pair) {
      multiply_two(dots[pair % 2], 2 * pair);
      if (pair > 0) add_two(total, dots[(pair - 1) % 2], 2 * (pair - 1));
    }
    if (pairs > 0) add_two(total, dots[(pairs - 1) % 2], 2 * (pairs - 1));
    if (groups % 2 == 1) {
      multiply_one(dots[0], groups - 1);
      add_scaled(total, dots[0], groups - 1);
    }
    const __m512 unit = _mm512_loadu_ps(units);
    STARLING_UNROLL
    for (int64_t t = 0; t < kTokens; ++t) _mm512_store_ps(y + t * kRowBlock, _mm512_mul_ps(total[t], unit));
  }
};

// With few tokens the weights come from memory, faster when asked for early.
STARLING_INLINE void fetch_ahead(const uint8_t* group) {
  constexpr int64_t kAhead = 4096;
  for (int64_t line = 0; line < kGroupBf16; line += 64)
    _mm_prefetch(reinterpret_cast<const char*>(group + kAhead + line), _MM_HINT_T0);
}

// y [blocks][tiles][16 tokens][16 rows] of one or two tiles of tokens with one or two blocks.
template <int tiles, int blocks>
STARLING_AMX void bf16_tiles(float* y, const AmxActivations& x, int64_t tile, const QuantizedMatrix& w,
                             int64_t first_block) {
  const std::byte *x0 = x.rows(tile), *x1 = tiles == 2 ? x.rows(tile + 1) : x0;
  const uint8_t *w0 = w.block_data(first_block), *w1 = blocks == 2 ? w.block_data(first_block + 1) : w0;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t at = 0; at < w.groups() * kGroupBf16; at += kGroupBf16) {
    if constexpr (tiles == 1) {
      fetch_ahead(w0 + at);
      if constexpr (blocks == 2) fetch_ahead(w1 + at);
    }
    _tile_loadd(4, x0 + at, kTileRow);
    _tile_loadd(6, w0 + at, kTileRow);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (tiles == 2) {
      _tile_loadd(5, x1 + at, kTileRow);
      _tile_dpbf16ps(1, 5, 6);
    }
    if constexpr (blocks == 2) {
      _tile_loadd(7, w1 + at, kTileRow);
      _tile_dpbf16ps(2, 4, 7);
    }
    if constexpr (tiles == 2 && blocks == 2) _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, y, kTileRow);
  if constexpr (tiles == 2) _tile_stored(1, y + kTileValues, kTileRow);
  if constexpr (blocks == 2) _tile_stored(2, y + tiles * kTileValues, kTileRow);
  if constexpr (tiles == 2 && blocks == 2) _tile_stored(3, y + 3 * kTileValues, kTileRow);
}

// The tokens and rows that there are, of a tile of 16 and a block of 16.
void copy_tile(float* y, const float* tile_y, int64_t tile, const AmxActivations& x, const QuantizedMatrix& w,
               int64_t block) {
  const int64_t first_row = block * kRowBlock, rows = std::min(kRowBlock, w.rows() - first_row);
  const int64_t first = tile * kTokens, end = std::min(first + kTokens, x.tokens());
  for (int64_t token = first; token < end; ++token)
    std::memcpy(y + token * w.rows() + first_row, tile_y + (token - first) * kRowBlock,
                static_cast<size_t>(rows) * sizeof(float));
}

void multiply_integers(float* y, const AmxActivations& x, const QuantizedMatrix& w, int64_t block) {
  thread_local std::vector<AmxLine> signed_weights;
  signed_weights.resize(std::max(signed_weights.size(), static_cast<size_t>(w.padded_cols() / 4)));
  auto* weights = reinterpret_cast<int8_t*>(signed_weights.data());
  w.format() == WeightFormat::int8 ? make_signed<Int8Steps>(weights, w, block)
                                   : make_signed<Code4Steps>(weights, w, block);
  finish_writes();
  alignas(64) float tile_y[kTileValues];
  for (int64_t tile = 0; tile < x.tiles(); ++tile) {
    IntegerTile{x.rows(tile), x.scales(tile), weights, w.block_scales(block)}.run(tile_y, w.groups(),
                                                                                  w.block_units(block));
    copy_tile(y, tile_y, tile, x, w, block);
  }
}

template <int blocks>
void multiply_bf16(float* y, const AmxActivations& x, const QuantizedMatrix& w, int64_t first_block) {
  alignas(64) float tile_y[4 * kTileValues];
  for (int64_t tile = 0; tile < x.tiles(); tile += 2) {
    const int64_t tiles = std::min<int64_t>(2, x.tiles() - tile);
    tiles == 2 ? bf16_tiles<2, blocks>(tile_y, x, tile, w, first_block)
               : bf16_tiles<1, blocks>(tile_y, x, tile, w, first_block);
    for (int64_t b = 0; b < blocks; ++b)
      for (int64_t t = 0; t < tiles; ++t)
        copy_tile(y, tile_y + (b * tiles + t) * kTileValues, tile + t, x, w, first_block + b);
  }
}

}  // namespace

int64_t amx_tokens(int64_t tokens, WeightFormat format) {
  if (format == WeightFormat::f32) return 0;
  if (format == WeightFormat::bf16) return tokens;
  // A tile that is filled to less than half costs more than the smaller ones of AVX-512.
  return tokens % kTokens >= kTokens / 2 ? tokens : tokens / kTokens * kTokens;
}

void AmxActivations::fill(const float* x, int64_t tokens, const QuantizedMatrix& w) {
  tokens_ = tokens, cols_ = w.cols(), groups_ = w.groups();
  const bool rounded = has_scales(w.format());
  group_lines_ = static_cast<size_t>((rounded ? kGroupRounded : kGroupBf16) / kTileRow);
  const size_t groups = static_cast<size_t>(tiles() * groups_);
  rows_.resize(std::max(rows_.size(), groups * group_lines_));
  if (rounded) scales_.resize(std::max(scales_.size(), groups * kTokens));
  parallel_for(tiles() * kTokens, 8, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token)
      for (int64_t group = 0; group < groups_; ++group)
        rounded ? fill_int8(x, token, group) : fill_bf16(x, token, group);
  });
}

// How many of a group's columns there are; none for a token that fills up a tile.
int64_t AmxActivations::columns(int64_t token, int64_t group) const {
  return token < tokens_ ? std::min(kScaleGroup, cols_ - group * kScaleGroup) : 0;
}

int64_t AmxActivations::place(int64_t token, int64_t group) const {
  return (token / kTokens * groups_ + group) * kTokens + token % kTokens;
}

void AmxActivations::fill_int8(const float* x, int64_t token, int64_t group) {
  const int64_t at = place(token, group);
  auto* rounded = reinterpret_cast<int8_t*>(rows_.data()) + at * kScaleGroup;
  scales_[static_cast<size_t>(at)] =
      round_to_int8(x + token * cols_ + group * kScaleGroup, columns(token, group), rounded);
}

void AmxActivations::fill_bf16(const float* x, int64_t token, int64_t group) {
  auto* rounded = reinterpret_cast<bf16*>(rows_.data()) + place(token, group) * kScaleGroup;
  const float* values = x + token * cols_ + group * kScaleGroup;
  const int64_t count = columns(token, group);
  for (int64_t i = 0; i < kScaleGroup; ++i) rounded[i] = i < count ? to_bf16(values[i]) : bf16{};
}

std::vector<AmxTiles::Shape> amx_shapes(WeightFormat format) {
  if (!has_scales(format)) return {{0, 7, kTokens, kTileRow}};
  return {{0, 1, kTokens, kTileRow}, {2, 3, kTokens, kScaleGroup}, {4, 5, kScaleGroup / 4, kTileRow}};
}

void amx_multiply(float* y, const AmxActivations& x, const QuantizedMatrix& w, int64_t first_block, int blocks) {
  if (w.format() == WeightFormat::bf16)
    return blocks == 2 ? multiply_bf16<2>(y, x, w, first_block) : multiply_bf16<1>(y, x, w, first_block);
  for (int b = 0; b < blocks; ++b) multiply_integers(y, x, w, first_block + b);
}

}  // namespace starling

// The block formats of GGUF tensors, and their values.
// Source: the ggml project's block definitions (ggml-common.h, gguf-py/gguf/quants.py),
// https://github.com/ggml-org/ggml. d, dmin: f16 scales of a block; q: small integers; K blocks hold 256 values in
// sub-blocks of 16 or 32 with scales sc, m:
//   Q8_0 d q8 | Q4_0 d (q4 - 8) | Q5_0 d (q5 - 16) | Q4_1 Q5_1 d q + m
//   Q2_K Q4_K Q5_K d sc q - dmin m | Q3_K d (sc - 32) (q3 - 4) | Q6_K d sc (q6 - 32)
//   IQ2_XXS, IQ2_XS, IQ2_S d (2 s + 1) / 8 * sign * grid: eight values at once from a table of 256, 512 or 1024 points
//   with coordinates 8, 25, 43 | IQ3_XXS d (2 s + 1) / 4 * sign * grid: four values from 256 points | IQ3_S
//   d (2 s + 1) * sign * grid: four values from 512 points with odd coordinates
//   IQ4_NL d v | IQ4_XS d (sc - 32) v, v one of 16 values that are dense where normal weights are
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace starling {

enum class GgufType : uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  iq2_xxs = 16,
  iq2_xs = 17,
  iq3_xxs = 18,
  iq4_nl = 20,
  iq3_s = 21,
  iq2_s = 22,
  iq4_xs = 23,
  bf16 = 30,
};

struct GgufBlock {
  const char* name = nullptr;  // nullptr: a type that this program does not read
  int64_t values = 0;          // in a block
  size_t bytes = 0;
};
GgufBlock gguf_block(GgufType type);

// Decodes whole blocks; out.size() is a multiple of the block's values and `blocks` holds that many blocks.
void decode_gguf_blocks(GgufType type, std::span<const std::byte> blocks, std::span<float> out);

// IQ2_XXS as small integers: codes are 0 or +-8, +-25, +-43, scales one for each 32 values. Exact.
void decode_iq2_xxs_codes(std::span<const std::byte> blocks, std::span<int8_t> codes, std::span<float> scales);
inline constexpr std::array<int8_t, 16> kIq2Codebook{0, 8, 25, 43, -8, -25, -43};

}  // namespace starling

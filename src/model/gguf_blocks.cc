#include "model/gguf_blocks.h"

#include <immintrin.h>

#include <array>
#include <bit>
#include <cstring>
#include <string>

#include "core/error.h"
#include "model/gguf_grids.h"

namespace starling {
namespace {

constexpr int kKValues = 256;  // values of a K block

uint8_t u8(const std::byte* at) { return static_cast<uint8_t>(*at); }

float f16(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return _cvtsh_ss(bits);
}

void decode_f32(const std::byte* block, float* out) { std::memcpy(out, block, sizeof(float)); }

void decode_f16(const std::byte* block, float* out) { *out = f16(block); }

void decode_bf16(const std::byte* block, float* out) {
  uint16_t bits;
  std::memcpy(&bits, block, sizeof bits);
  *out = std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// d | 16 bytes: value i in the low nibble of byte i, value i + 16 in the high one.
void decode_q4_0(const std::byte* block, float* out) {
  const float d = f16(block);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((u8(block + 2 + i) & 0x0f) - 8);
    out[i + 16] = d * static_cast<float>((u8(block + 2 + i) >> 4) - 8);
  }
}

// d | m | nibbles as Q4_0: d q + m.
void decode_q4_1(const std::byte* block, float* out) {
  const float d = f16(block), m = f16(block + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(u8(block + 4 + i) & 0x0f) + m;
    out[i + 16] = d * static_cast<float>(u8(block + 4 + i) >> 4) + m;
  }
}

// 32 bits, bit i the fifth of value i | nibbles as Q4_0.
int five_bits(const std::byte* block, int i) {
  const int low = u8(block + 4 + i % 16) >> (i < 16 ? 0 : 4) & 0x0f;
  return low | (u8(block + i / 8) >> (i % 8) & 1) << 4;
}

void decode_q5_0(const std::byte* block, float* out) {
  const float d = f16(block);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(five_bits(block + 2, i) - 16);
}

void decode_q5_1(const std::byte* block, float* out) {
  const float d = f16(block), m = f16(block + 2);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(five_bits(block + 4, i)) + m;
}

// d | 32 signed bytes.
void decode_q8_0(const std::byte* block, float* out) {
  const float d = f16(block);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(static_cast<int8_t>(u8(block + 2 + i)));
}

// 16 bytes (sc low nibble, m high nibble; one a sub-block of 16) | 64 bytes of 2-bit values | d | dmin.
// Byte l of a half holds the values l, l + 32, l + 64, l + 96 of that half from its low bits up.
void decode_q2_k(const std::byte* block, float* out) {
  const float d = f16(block + 80), dmin = f16(block + 82);
  for (int i = 0; i < kKValues; ++i) {
    const int half = i / 128, row = i % 128 / 32, l = i % 32;
    const int scale = u8(block + i / 16), q = u8(block + 16 + 32 * half + l) >> (2 * row) & 3;
    out[i] = d * static_cast<float>(scale & 0x0f) * static_cast<float>(q) - dmin * static_cast<float>(scale >> 4);
  }
}

// 32 bytes of third bits | 64 bytes of 2-bit values in Q2_K's order | 12 bytes: 16 scales of 6 bits, centred at 32 | d.
// Scale j: low 4 bits in the nibbles of bytes 0-7, high 2 bits in bytes 8-11.
void decode_q3_k(const std::byte* block, float* out) {
  const float d = f16(block + 108);
  const std::byte* scales = block + 96;
  for (int i = 0; i < kKValues; ++i) {
    const int half = i / 128, row = i % 128 / 32, l = i % 32, j = i / 16;
    const int low = u8(scales + j % 8) >> (4 * (j / 8)) & 0x0f, high = u8(scales + 8 + j % 4) >> (2 * (j / 4)) & 3;
    const int q = u8(block + 32 + 32 * half + l) >> (2 * row) & 3, third = u8(block + l) >> (4 * half + row) & 1;
    out[i] = d * static_cast<float>((low | high << 4) - 32) * static_cast<float>(q - (third ? 0 : 4));
  }
}

// Scale and minimum of sub-block j, 6 bits each, from 12 bytes: the first four pairs lie in the low 6 bits of bytes 0-3
// and 4-7; the last four have their low 4 bits in bytes 8-11 and their high 2 bits on top of the first eight bytes.
struct SubScale {
  float scale, minimum;
};
SubScale sub_scale(const std::byte* packed, int j) {
  if (j < 4) return {static_cast<float>(u8(packed + j) & 63), static_cast<float>(u8(packed + j + 4) & 63)};
  const int low = u8(packed + j + 4);
  return {static_cast<float>((low & 0x0f) | u8(packed + j - 4) >> 6 << 4),
          static_cast<float>(low >> 4 | u8(packed + j) >> 6 << 4)};
}

// d | dmin | 12 bytes of scales | 128 bytes: 32 bytes hold two sub-blocks of 32, low nibbles first.
void decode_q4_k(const std::byte* block, float* out) {
  const float d = f16(block), dmin = f16(block + 2);
  for (int j = 0; j < 8; ++j) {
    const SubScale s = sub_scale(block + 4, j);
    for (int l = 0; l < 32; ++l) {
      const int q = u8(block + 16 + 32 * (j / 2) + l) >> (4 * (j % 2)) & 0x0f;
      out[32 * j + l] = d * s.scale * static_cast<float>(q) - dmin * s.minimum;
    }
  }
}

// As Q4_K with 32 bytes of fifth bits between: bit j of byte l belongs to value l of sub-block j.
void decode_q5_k(const std::byte* block, float* out) {
  const float d = f16(block), dmin = f16(block + 2);
  for (int j = 0; j < 8; ++j) {
    const SubScale s = sub_scale(block + 4, j);
    for (int l = 0; l < 32; ++l) {
      const int low = u8(block + 48 + 32 * (j / 2) + l) >> (4 * (j % 2)) & 0x0f;
      const int q = low | (u8(block + 16 + l) >> j & 1) << 4;
      out[32 * j + l] = d * s.scale * static_cast<float>(q) - dmin * s.minimum;
    }
  }
}

// 128 bytes of low nibbles | 64 bytes of high 2 bits | 16 signed scales, one a sub-block of 16 | d.
void decode_q6_k(const std::byte* block, float* out) {
  const float d = f16(block + 208);
  for (int i = 0; i < kKValues; ++i) {
    const int half = i / 128, row = i % 128 / 32, l = i % 32;
    const int low = u8(block + 64 * half + 32 * (row % 2) + l) >> (4 * (row / 2)) & 0x0f;
    const int high = u8(block + 128 + 32 * half + l) >> (2 * row) & 3;
    const auto scale = static_cast<float>(static_cast<int8_t>(u8(block + 192 + i / 16)));
    out[i] = d * scale * static_cast<float>((low | high << 4) - 32);
  }
}

// Seven signs are stored; the eighth makes the number of minus signs even.
constexpr uint32_t eight_signs(uint32_t bits) {
  const uint32_t seven = bits & 0x7f;
  return seven | static_cast<uint32_t>(std::popcount(seven) & 1) << 7;
}

// The levels of each point of the grid in eight bytes, the first lowest.
constexpr std::array<uint64_t, 256> kIq2XxsLevels = [] {
  std::array<uint64_t, 256> levels{};
  for (int entry = 0; entry < 256; ++entry)
    for (int i = 0; i < 8; ++i)
      levels[entry] |= static_cast<uint64_t>(kLevels2[kIq2XxsGrid[entry] >> (2 * i) & 3]) << (8 * i);
  return levels;
}();

// 0xff in the bytes that are negative.
constexpr std::array<uint64_t, 128> kSignBytes = [] {
  std::array<uint64_t, 128> bytes{};
  for (uint32_t stored = 0; stored < 128; ++stored)
    for (int i = 0; i < 8; ++i)
      if (eight_signs(stored) >> i & 1) bytes[stored] |= uint64_t{0xff} << (8 * i);
  return bytes;
}();

// d | 8 times: 4 bytes of grid indices, then 32 bits: four times 7 bits of signs, 4 bits of scale s.
void iq2_xxs_block(const std::byte* block, int8_t* codes, float* scales) {
  const float d = f16(block);
  for (int j = 0; j < 8; ++j) {
    const std::byte* at = block + 2 + 8 * j;
    uint32_t word;
    std::memcpy(&word, at + 4, sizeof word);
    scales[j] = d * static_cast<float>(2 * (word >> 28) + 1) / 8.0f;
    for (int point = 0; point < 4; ++point) {
      const uint64_t negative = kSignBytes[word >> (7 * point) & 127];
      // -x = ~x + 1; no level is 0, so no byte carries into the next.
      const uint64_t eight = (kIq2XxsLevels[u8(at + point)] ^ negative) + (negative & 0x0101010101010101);
      std::memcpy(codes + 32 * j + 8 * point, &eight, sizeof eight);
    }
  }
}

void decode_iq2_xxs(const std::byte* block, float* out) {
  int8_t codes[kKValues];
  float scales[kKValues / 32];
  iq2_xxs_block(block, codes, scales);
  for (int i = 0; i < kKValues; ++i) out[i] = scales[i / 32] * static_cast<float>(codes[i]);
}

// d | 32 words: 9 bits of grid index, 7 of signs | 8 bytes: two scales s of 16 values each.
void decode_iq2_xs(const std::byte* block, float* out) {
  const float d = f16(block);
  for (int point = 0; point < kKValues / 8; ++point) {
    uint16_t word;
    std::memcpy(&word, block + 2 + 2 * point, sizeof word);
    const int s = u8(block + 66 + point / 4) >> (point % 4 < 2 ? 0 : 4) & 0x0f;
    const float scale = d * static_cast<float>(2 * s + 1) / 8.0f;
    const uint32_t signs = eight_signs(word >> 9);
    for (int i = 0; i < 8; ++i) {
      const auto level = static_cast<float>(kLevels2[kIq2XsGrid[word & 511] >> (2 * i) & 3]);
      out[8 * point + i] = signs >> i & 1 ? -scale * level : scale * level;
    }
  }
}

// d | 32 bytes: low 8 bits of grid indices | 32 bytes of signs | 8 bytes: four times their high 2 bits | scales as
// IQ2_XS.
void decode_iq2_s(const std::byte* block, float* out) {
  const float d = f16(block);
  for (int point = 0; point < kKValues / 8; ++point) {
    const int high = u8(block + 66 + point / 4) >> (2 * (point % 4)) & 3;
    const uint16_t entry = kIq2SGrid[u8(block + 2 + point) | high << 8];
    const int s = u8(block + 74 + point / 4) >> (point % 4 < 2 ? 0 : 4) & 0x0f;
    const float scale = d * static_cast<float>(2 * s + 1) / 8.0f;
    const int signs = u8(block + 34 + point);
    for (int i = 0; i < 8; ++i) {
      const auto level = static_cast<float>(kLevels2[entry >> (2 * i) & 3]);
      out[8 * point + i] = signs >> i & 1 ? -scale * level : scale * level;
    }
  }
}

// d | 64 bytes of grid indices | 8 words: four times 7 bits of signs, 4 bits of scale s.
void decode_iq3_xxs(const std::byte* block, float* out) {
  const float d = f16(block);
  for (int i = 0; i < kKValues; ++i) {
    uint32_t word;
    std::memcpy(&word, block + 66 + 4 * (i / 32), sizeof word);
    const float scale = d * static_cast<float>(2 * (word >> 28) + 1) / 4.0f;
    const uint32_t signs = eight_signs(word >> (7 * (i % 32 / 8)));
    const auto level = static_cast<float>(kLevels3[kIq3XxsGrid[u8(block + 2 + i / 4)] >> (3 * (i % 4)) & 7]);
    out[i] = signs >> (i % 8) & 1 ? -scale * level : scale * level;
  }
}

// d | 64 bytes: low 8 bits of grid indices | 8 bytes: their high bits | 32 bytes of signs | 4 bytes: two scales s of 32
// values each.
void decode_iq3_s(const std::byte* block, float* out) {
  const float d = f16(block);
  for (int i = 0; i < kKValues; ++i) {
    const int point = i / 4;
    const int high = u8(block + 66 + point / 8) >> (point % 8) & 1;
    const int level = 2 * (kIq3SGrid[u8(block + 2 + point) | high << 8] >> (3 * (i % 4)) & 7) + 1;
    const int s = u8(block + 106 + i / 64) >> (i % 64 < 32 ? 0 : 4) & 0x0f;
    const float value = d * static_cast<float>((2 * s + 1) * level);
    out[i] = u8(block + 74 + i / 8) >> (i % 8) & 1 ? -value : value;
  }
}

constexpr int8_t kIq4Values[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// d | nibbles as Q4_0, each an index of kIq4Values.
void decode_iq4_nl(const std::byte* block, float* out) {
  const float d = f16(block);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(kIq4Values[u8(block + 2 + i) & 0x0f]);
    out[i + 16] = d * static_cast<float>(kIq4Values[u8(block + 2 + i) >> 4]);
  }
}

// d | high 2 bits of the 8 scales in 16 bits | low 4 bits in 4 bytes | 8 times 16 bytes of nibbles as IQ4_NL.
void decode_iq4_xs(const std::byte* block, float* out) {
  const float d = f16(block);
  for (int i = 0; i < kKValues; ++i) {
    const int j = i / 32, l = i % 32;
    const int low = u8(block + 4 + j / 2) >> (4 * (j % 2)) & 0x0f, high = u8(block + 2 + j / 4) >> (2 * (j % 4)) & 3;
    const int code = u8(block + 8 + 16 * j + l % 16) >> (l < 16 ? 0 : 4) & 0x0f;
    out[i] = d * static_cast<float>((low | high << 4) - 32) * static_cast<float>(kIq4Values[code]);
  }
}

struct Format {
  GgufType type;
  GgufBlock block;
  void (*decode)(const std::byte* blocks, size_t count, float* out);
};

// Blocks one after another; the decoder of one is inlined, so that the compiler makes vectors of a row's values.
template <auto decode, size_t values, size_t bytes>
constexpr Format format_of(GgufType type, const char* name) {
  return {type, {name, values, bytes}, [](const std::byte* blocks, size_t count, float* out) {
            for (size_t i = 0; i < count; ++i) decode(blocks + i * bytes, out + i * values);
          }};
}

constexpr Format kFormats[] = {
    format_of<decode_f32, 1, 4>(GgufType::f32, "F32"),
    format_of<decode_f16, 1, 2>(GgufType::f16, "F16"),
    format_of<decode_bf16, 1, 2>(GgufType::bf16, "BF16"),
    format_of<decode_q4_0, 32, 18>(GgufType::q4_0, "Q4_0"),
    format_of<decode_q4_1, 32, 20>(GgufType::q4_1, "Q4_1"),
    format_of<decode_q5_0, 32, 22>(GgufType::q5_0, "Q5_0"),
    format_of<decode_q5_1, 32, 24>(GgufType::q5_1, "Q5_1"),
    format_of<decode_q8_0, 32, 34>(GgufType::q8_0, "Q8_0"),
    format_of<decode_q2_k, 256, 84>(GgufType::q2_k, "Q2_K"),
    format_of<decode_q3_k, 256, 110>(GgufType::q3_k, "Q3_K"),
    format_of<decode_q4_k, 256, 144>(GgufType::q4_k, "Q4_K"),
    format_of<decode_q5_k, 256, 176>(GgufType::q5_k, "Q5_K"),
    format_of<decode_q6_k, 256, 210>(GgufType::q6_k, "Q6_K"),
    format_of<decode_iq2_xxs, 256, 66>(GgufType::iq2_xxs, "IQ2_XXS"),
    format_of<decode_iq2_xs, 256, 74>(GgufType::iq2_xs, "IQ2_XS"),
    format_of<decode_iq2_s, 256, 82>(GgufType::iq2_s, "IQ2_S"),
    format_of<decode_iq3_xxs, 256, 98>(GgufType::iq3_xxs, "IQ3_XXS"),
    format_of<decode_iq3_s, 256, 110>(GgufType::iq3_s, "IQ3_S"),
    format_of<decode_iq4_nl, 32, 18>(GgufType::iq4_nl, "IQ4_NL"),
    format_of<decode_iq4_xs, 256, 136>(GgufType::iq4_xs, "IQ4_XS"),
};

const Format* find_format(GgufType type) {
  for (const Format& format : kFormats) {
    if (format.type == type) return &format;
  }
  return nullptr;
}

void check_size(const GgufBlock& block, size_t bytes, size_t values) {
  if (block.values == 0 || values % block.values != 0 || bytes != values / block.values * block.bytes) {
    throw ShapeError("a GGUF row is not whole blocks");
  }
}

}  // namespace

GgufBlock gguf_block(GgufType type) {
  const Format* format = find_format(type);
  return format == nullptr ? GgufBlock{} : format->block;
}

void decode_gguf_blocks(GgufType type, std::span<const std::byte> blocks, std::span<float> out) {
  const Format* format = find_format(type);
  if (format == nullptr)
    throw DataError("GGUF tensor type " + std::to_string(static_cast<uint32_t>(type)) + " is not supported");
  check_size(format->block, blocks.size(), out.size());
  format->decode(blocks.data(), out.size() / format->block.values, out.data());
}

void decode_iq2_xxs_codes(std::span<const std::byte> blocks, std::span<int8_t> codes, std::span<float> scales) {
  const GgufBlock format = gguf_block(GgufType::iq2_xxs);
  check_size(format, blocks.size(), codes.size());
  if (scales.size() * 32 != codes.size()) throw ShapeError("IQ2_XXS has a scale for each 32 values");
  for (size_t i = 0; i < codes.size() / kKValues; ++i) {
    iq2_xxs_block(blocks.data() + i * format.bytes, codes.data() + i * kKValues, scales.data() + i * kKValues / 32);
  }
}

}  // namespace starling

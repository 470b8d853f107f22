#include "model/gguf_blocks.h"

#include <immintrin.h>

#include <bit>
#include <cstring>

#include "core/error.h"

namespace starling {
namespace {

constexpr int kKValues = 256;  // values of a K block

// The 256 points of IQ2_XXS, a fact of the format (iq2xxs_grid in ggml-common.h): coordinate i of a point is
// kLevels[(entry >> 2 i) & 3].
constexpr int8_t kLevels[] = {8, 25, 43};
constexpr uint16_t kIq2Grid[256] = {
    0x0000, 0x0002, 0x0005, 0x0008, 0x000a, 0x0011, 0x0014, 0x0020, 0x0022, 0x0028, 0x002a, 0x0041, 0x0044, 0x0050,
    0x0058, 0x0061, 0x0064, 0x0080, 0x0082, 0x008a, 0x00a2, 0x0101, 0x0104, 0x0110, 0x0115, 0x0140, 0x0184, 0x0198,
    0x0200, 0x0202, 0x0222, 0x0282, 0x0401, 0x0404, 0x0410, 0x0421, 0x0424, 0x0440, 0x0442, 0x0448, 0x0460, 0x0481,
    0x0484, 0x0490, 0x04a4, 0x0500, 0x0502, 0x0508, 0x0520, 0x0546, 0x0569, 0x0580, 0x0591, 0x0609, 0x0610, 0x0640,
    0x0684, 0x06a4, 0x0800, 0x0805, 0x0808, 0x0814, 0x0828, 0x0841, 0x0844, 0x0850, 0x0852, 0x0888, 0x0904, 0x0940,
    0x0a02, 0x0a14, 0x1001, 0x1004, 0x1010, 0x1021, 0x1040, 0x1060, 0x1084, 0x1090, 0x1095, 0x1100, 0x1108, 0x1120,
    0x1150, 0x115a, 0x1180, 0x1224, 0x1245, 0x1400, 0x1408, 0x1420, 0x1425, 0x1449, 0x1480, 0x1518, 0x1562, 0x1600,
    0x1616, 0x1801, 0x1804, 0x1810, 0x1840, 0x1881, 0x1900, 0x1905, 0x19a0, 0x1a51, 0x2000, 0x2002, 0x200a, 0x2044,
    0x2061, 0x2080, 0x2082, 0x2129, 0x2148, 0x2200, 0x2202, 0x2401, 0x2404, 0x2410, 0x2440, 0x2456, 0x2500, 0x2541,
    0x2564, 0x2690, 0x2808, 0x2820, 0x2894, 0x2a44, 0x4001, 0x4004, 0x4010, 0x4018, 0x4021, 0x4024, 0x4040, 0x4048,
    0x4056, 0x4060, 0x4081, 0x4084, 0x4090, 0x4100, 0x4120, 0x4161, 0x4180, 0x4185, 0x4201, 0x4210, 0x4248, 0x4256,
    0x4268, 0x4400, 0x4408, 0x4420, 0x4480, 0x4499, 0x4512, 0x4524, 0x4600, 0x4801, 0x4804, 0x4810, 0x4840, 0x4845,
    0x4900, 0x4958, 0x4961, 0x4982, 0x4a45, 0x4a90, 0x5000, 0x5008, 0x5011, 0x5019, 0x5020, 0x5080, 0x5088, 0x5104,
    0x5142, 0x51a4, 0x5291, 0x5490, 0x5492, 0x550a, 0x5601, 0x5654, 0x5800, 0x5811, 0x5819, 0x5864, 0x5940, 0x5a08,
    0x6004, 0x6010, 0x6040, 0x6068, 0x6100, 0x6155, 0x6218, 0x6260, 0x6400, 0x6405, 0x6510, 0x6512, 0x6584, 0x6842,
    0x8000, 0x8002, 0x800a, 0x8041, 0x8082, 0x8104, 0x8118, 0x8140, 0x8211, 0x8401, 0x8404, 0x8410, 0x8415, 0x8440,
    0x8460, 0x8500, 0x8546, 0x8594, 0x8609, 0x8640, 0x8660, 0x8802, 0x8904, 0x8a11, 0x9004, 0x9010, 0x9024, 0x9040,
    0x90a1, 0x9116, 0x9180, 0x9245, 0x9400, 0x9422, 0x9444, 0x9551, 0x9881, 0x9920, 0xa002, 0xa050, 0xa085, 0xa109,
    0xa200, 0xa418, 0xa850, 0xa904};

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

// d | 8 times: 4 bytes of grid indices, then 32 bits: four times 7 bits of signs, 4 bits of scale s. The eighth sign
// makes the number of minus signs even.
void iq2_xxs_block(const std::byte* block, int8_t* codes, float* scales) {
  const float d = f16(block);
  for (int j = 0; j < 8; ++j) {
    const std::byte* at = block + 2 + 8 * j;
    uint32_t word;
    std::memcpy(&word, at + 4, sizeof word);
    scales[j] = d * static_cast<float>(2 * (word >> 28) + 1) / 8.0f;
    for (int point = 0; point < 4; ++point) {
      const uint16_t entry = kIq2Grid[u8(at + point)];
      const uint32_t seven = word >> (7 * point) & 0x7f;
      const uint32_t signs = seven | static_cast<uint32_t>(std::popcount(seven) & 1) << 7;
      for (int i = 0; i < 8; ++i) {
        const int8_t level = kLevels[entry >> (2 * i) & 3];
        codes[32 * j + 8 * point + i] = static_cast<int8_t>(signs >> i & 1 ? -level : level);
      }
    }
  }
}

void decode_iq2_xxs(const std::byte* block, float* out) {
  int8_t codes[kKValues];
  float scales[kKValues / 32];
  iq2_xxs_block(block, codes, scales);
  for (int i = 0; i < kKValues; ++i) out[i] = scales[i / 32] * static_cast<float>(codes[i]);
}

struct Format {
  GgufType type;
  GgufBlock block;
  void (*decode)(const std::byte* block, float* out);
};

constexpr Format kFormats[] = {
    {GgufType::f32, {"F32", 1, 4}, decode_f32},        {GgufType::f16, {"F16", 1, 2}, decode_f16},
    {GgufType::bf16, {"BF16", 1, 2}, decode_bf16},     {GgufType::q4_0, {"Q4_0", 32, 18}, decode_q4_0},
    {GgufType::q8_0, {"Q8_0", 32, 34}, decode_q8_0},   {GgufType::q2_k, {"Q2_K", 256, 84}, decode_q2_k},
    {GgufType::q4_k, {"Q4_K", 256, 144}, decode_q4_k}, {GgufType::q5_k, {"Q5_K", 256, 176}, decode_q5_k},
    {GgufType::q6_k, {"Q6_K", 256, 210}, decode_q6_k}, {GgufType::iq2_xxs, {"IQ2_XXS", 256, 66}, decode_iq2_xxs},
};

const Format* find_format(GgufType type) {
  for (const Format& format : kFormats) {
    if (format.type == type) return &format;
  }
  return nullptr;
}

void check_size(const GgufBlock& block, size_t bytes, size_t values) {
  if (values % block.values != 0 || bytes != values / block.values * block.bytes) {
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
  const std::byte* block = blocks.data();
  for (size_t i = 0; i < out.size(); i += format->block.values, block += format->block.bytes)
    format->decode(block, out.data() + i);
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

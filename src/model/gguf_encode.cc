#include "model/gguf_encode.h"

#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/error.h"

namespace starling {
namespace {

uint16_t f16_bits(float value) { return static_cast<uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT)); }
float f16_value(uint16_t bits) { return _cvtsh_ss(bits); }

void put_u16(std::byte* at, uint16_t value) { std::memcpy(at, &value, sizeof value); }

void encode_f32(const float* x, std::byte* block) { std::memcpy(block, x, sizeof(float)); }
void encode_f16(const float* x, std::byte* block) { put_u16(block, f16_bits(std::clamp(*x, -65504.0f, 65504.0f))); }
void encode_bf16(const float* x, std::byte* block) {
  const auto bits = std::bit_cast<uint32_t>(*x);
  put_u16(block, static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16));
}

// The value of the largest size, with its sign.
float largest_of(const float* x, int count) {
  return *std::max_element(x, x + count, [](float a, float b) { return std::abs(a) < std::abs(b); });
}

void encode_q8_0(const float* x, std::byte* block) {
  const float d = std::abs(largest_of(x, 32)) / 127.0f, inverse = d > 0 ? 1.0f / d : 0.0f;
  put_u16(block, f16_bits(d));
  for (int i = 0; i < 32; ++i) block[2 + i] = static_cast<std::byte>(std::lrint(x[i] * inverse));
}

// The largest value takes the code 0, that is -8 d: the codes reach further down than up.
void encode_q4_0(const float* x, std::byte* block) {
  const float d = largest_of(x, 32) / -8.0f, inverse = d != 0 ? 1.0f / d : 0.0f;
  put_u16(block, f16_bits(d));
  const auto code = [&](float value) {
    return std::clamp<int>(static_cast<int>(std::lrint(value * inverse)) + 8, 0, 15);
  };
  for (int i = 0; i < 16; ++i) block[2 + i] = static_cast<std::byte>(code(x[i]) | code(x[i + 16]) << 4);
}

// x = scale q - minimum with q in 0..15, for 32 values.
struct Line {
  float scale = 0, minimum = 0;
};

int line_code(const Line& line, float value) {
  return line.scale > 0 ? std::clamp<int>(static_cast<int>(std::lrint((value + line.minimum) / line.scale)), 0, 15) : 0;
}

// Starts from the range of the values and fits the line to the codes by least squares a few times.
Line fit_line(const float* x) {
  const float low = std::min(0.0f, *std::min_element(x, x + 32)), high = std::max(0.0f, *std::max_element(x, x + 32));
  Line line{(high - low) / 15.0f, -low};
  for (int round = 0; round < 3 && line.scale > 0; ++round) {
    double q1 = 0, q2 = 0, x1 = 0, xq = 0;
    for (int i = 0; i < 32; ++i) {
      const double q = line_code(line, x[i]);
      q1 += q, q2 += q * q, x1 += x[i], xq += x[i] * q;
    }
    const double spread = 32 * q2 - q1 * q1;
    if (spread <= 0) break;
    const double scale = (32 * xq - q1 * x1) / spread, minimum = (scale * q1 - x1) / 32;
    if (scale <= 0 || minimum < 0) break;
    line = {static_cast<float>(scale), static_cast<float>(minimum)};
  }
  return line;
}

// The 6-bit scales and minima in the order that gguf_blocks.cc reads.
void pack_sub_scales(const int (&scales)[8], const int (&minima)[8], std::byte* packed) {
  for (int j = 0; j < 4; ++j) {
    packed[j] = static_cast<std::byte>(scales[j] | scales[j + 4] >> 4 << 6);
    packed[j + 4] = static_cast<std::byte>(minima[j] | minima[j + 4] >> 4 << 6);
    packed[j + 8] = static_cast<std::byte>((scales[j + 4] & 0x0f) | (minima[j + 4] & 0x0f) << 4);
  }
}

void encode_q4_k(const float* x, std::byte* block) {
  Line lines[8];
  float most_scale = 0, most_minimum = 0;
  for (int j = 0; j < 8; ++j) {
    lines[j] = fit_line(x + 32 * j);
    most_scale = std::max(most_scale, lines[j].scale);
    most_minimum = std::max(most_minimum, lines[j].minimum);
  }
  const uint16_t d_bits = f16_bits(most_scale / 63.0f), m_bits = f16_bits(most_minimum / 63.0f);
  const float d = f16_value(d_bits), dmin = f16_value(m_bits);
  int scales[8], minima[8];
  for (int j = 0; j < 8; ++j) {
    scales[j] = d > 0 ? std::min(63, static_cast<int>(std::lrint(lines[j].scale / d))) : 0;
    minima[j] = dmin > 0 ? std::min(63, static_cast<int>(std::lrint(lines[j].minimum / dmin))) : 0;
    lines[j] = {d * static_cast<float>(scales[j]), dmin * static_cast<float>(minima[j])};  // what a reader sees
  }
  put_u16(block, d_bits);
  put_u16(block + 2, m_bits);
  pack_sub_scales(scales, minima, block + 4);
  for (int pair = 0; pair < 4; ++pair) {
    for (int l = 0; l < 32; ++l) {
      const int low = line_code(lines[2 * pair], x[64 * pair + l]);
      const int high = line_code(lines[2 * pair + 1], x[64 * pair + 32 + l]);
      block[16 + 32 * pair + l] = static_cast<std::byte>(low | high << 4);
    }
  }
}

using Encode = void (*)(const float* x, std::byte* block);

Encode encoder(GgufType type) {
  switch (type) {
    case GgufType::f32:
      return encode_f32;
    case GgufType::f16:
      return encode_f16;
    case GgufType::bf16:
      return encode_bf16;
    case GgufType::q8_0:
      return encode_q8_0;
    case GgufType::q4_0:
      return encode_q4_0;
    case GgufType::q4_k:
      return encode_q4_k;
    default:
      return nullptr;
  }
}

}  // namespace

bool can_encode_gguf(GgufType type) { return encoder(type) != nullptr; }

void encode_gguf_blocks(GgufType type, std::span<const float> values, std::span<std::byte> blocks) {
  const Encode encode = encoder(type);
  if (encode == nullptr)
    throw DataError("GGUF tensor type " + std::to_string(static_cast<uint32_t>(type)) + " is not written");
  const GgufBlock format = gguf_block(type);
  const size_t count = values.size() / static_cast<size_t>(format.values);
  if (values.size() % static_cast<size_t>(format.values) != 0 || blocks.size() != count * format.bytes)
    throw ShapeError("a row is not whole GGUF blocks");
  if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }))
    throw DataError("a weight is not a finite number");
  for (size_t i = 0; i < count; ++i)
    encode(values.data() + i * static_cast<size_t>(format.values), blocks.data() + i * format.bytes);
}

}  // namespace starling

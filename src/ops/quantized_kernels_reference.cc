// The plain statement of the products, that the vector kernels are tested against bit by bit.
#include <immintrin.h>

#include <bit>
#include <cmath>

#include "ops/quantized_kernels.h"

namespace starling {
namespace {

int weight_value(const QuantizedMatrix& w, const uint8_t* data, int64_t lane, int64_t col) {
  if (w.format() == WeightFormat::int8) return data[(col / 4 * kRowBlock + lane) * 4 + col % 4] - 128;
  const uint8_t pair = data[(col / 8 * kRowBlock + lane) * 4 + col % 4];
  return w.codebook()[col / 4 % 2 == 0 ? pair & 0x0f : pair >> 4];
}

int activation_value(const ActivationTile& x, int token, int64_t col) {
  return static_cast<int8_t>(static_cast<uint32_t>(x.quads[col / 4 * x.tokens + token]) >> (8 * (col % 4)));
}

void integer_block(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w, int64_t block) {
  const uint8_t* data = w.block_data(block);
  for (int token = 0; token < x.tokens; ++token) {
    for (int64_t lane = 0; lane < kRowBlock; ++lane) {
      float total = 0;
      for (int64_t group = 0; group < w.groups(); ++group) {
        int dot = 0;
        for (int64_t col = group * kScaleGroup; col < (group + 1) * kScaleGroup; ++col) {
          dot += weight_value(w, data, lane, col) * activation_value(x, token, col);
        }
        const float weight_scale = _cvtsh_ss(w.block_scales(block)[group * kRowBlock + lane]);
        total = std::fma(static_cast<float>(dot), weight_scale * x.scales[group * x.tokens + token], total);
      }
      y.of(token)[lane] = total * w.block_units(block)[lane];
    }
  }
}

float widened(uint32_t bf16_bits) { return std::bit_cast<float>(bf16_bits << 16); }

void bf16_block(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w, int64_t block) {
  const auto* data = reinterpret_cast<const uint32_t*>(w.block_data(block));
  for (int token = 0; token < x.tokens; ++token) {
    for (int64_t lane = 0; lane < kRowBlock; ++lane) {
      float total = 0;
      for (int64_t pair = 0; pair < w.padded_cols() / 2; ++pair) {
        const uint32_t weights = data[pair * kRowBlock + lane], values = x.pairs[pair * x.tokens + token];
        total = std::fma(widened(weights >> 16), widened(values >> 16), total);  // the odd column first, as vdpbf16ps
        total = std::fma(widened(weights & 0xffff), widened(values & 0xffff), total);
      }
      y.of(token)[lane] = total;
    }
  }
}

void f32_block(TileOutput y, const ActivationTile& x, const QuantizedMatrix& w, int64_t block) {
  const auto* data = reinterpret_cast<const float*>(w.block_data(block));
  for (int token = 0; token < x.tokens; ++token) {
    for (int64_t lane = 0; lane < kRowBlock; ++lane) {
      float total = 0;
      for (int64_t col = 0; col < w.padded_cols(); ++col)
        total = std::fma(data[col * kRowBlock + lane], x.values[col * x.tokens + token], total);
      y.of(token)[lane] = total;
    }
  }
}

}  // namespace

TileKernel reference_kernel(WeightFormat format) {
  if (format == WeightFormat::f32) return each_block<f32_block>;
  return format == WeightFormat::bf16 ? each_block<bf16_block> : each_block<integer_block>;
}

}  // namespace starling

#include "ops/quantized_product.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "core/threads.h"
#include "ops/quantized_kernels.h"

namespace starling {
namespace {

// Below this a second thread costs more to wake than it saves (about 10 us).
constexpr int64_t kMultiplyAddsPerThread = int64_t{1} << 20;

// Rounds 32 values to 8 bits; returns their scale.
float round_group(const float* values, int8_t* rounded) {
  __m256 part[4], largest = _mm256_setzero_ps();
  const __m256 sign = _mm256_set1_ps(-0.0f);
  for (int i = 0; i < 4; ++i) {
    part[i] = _mm256_loadu_ps(values + 8 * i);
    largest = _mm256_max_ps(largest, _mm256_andnot_ps(sign, part[i]));
  }
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, largest);
  const float maximum = *std::max_element(lanes, lanes + 8);
  const __m256 inverse = _mm256_set1_ps(maximum > 0 ? 127.0f / maximum : 0.0f);
  __m256i whole[4];
  for (int i = 0; i < 4; ++i) whole[i] = _mm256_cvtps_epi32(_mm256_mul_ps(part[i], inverse));
  const __m256i bytes =
      _mm256_packs_epi16(_mm256_packs_epi32(whole[0], whole[1]), _mm256_packs_epi32(whole[2], whole[3]));
  // The packs work inside 128-bit halves: bring the words back into order.
  const __m256i ordered = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(rounded), ordered);
  return maximum / 127.0f;
}

// All tokens of one product, cut into tiles of the sizes that kernels exist for.
class Activations {
 public:
  Activations(const float* x, int64_t tokens, const QuantizedMatrix& w) : cols_(w.cols()), padded_(w.padded_cols()) {
    const bool rounded = w.format() != WeightFormat::bf16;
    const int64_t groups = padded_ / kScaleGroup;
    quads_.resize(rounded ? tokens * padded_ / 4 : 0);
    scales_.resize(rounded ? tokens * groups : 0);
    corrections_.resize(rounded ? tokens * groups : 0);
    values_.resize(rounded ? 0 : tokens * padded_);
    for (int64_t first = 0; first < tokens;) {
      const int size = *std::find_if(std::begin(kTileTokens), std::end(kTileTokens),
                                     [&](int candidate) { return candidate <= tokens - first; });
      tiles_.push_back({size, quads_.data() + first * padded_ / 4, scales_.data() + first * groups,
                        corrections_.data() + first * groups, values_.data() + first * padded_});
      first_token_.push_back(first);
      first += size;
    }
    parallel_for(static_cast<int64_t>(tiles_.size()), 4, [&](int64_t begin, int64_t end) {
      for (int64_t tile = begin; tile < end; ++tile) rounded ? fill_rounded(x, tile) : fill_values(x, tile);
    });
  }

  int64_t tile_count() const { return static_cast<int64_t>(tiles_.size()); }
  const ActivationTile& tile(int64_t index) const { return tiles_[index]; }
  int64_t first_token(int64_t index) const { return first_token_[index]; }

 private:
  void fill_values(const float* x, int64_t index) {
    const int tokens = tiles_[index].tokens;
    float* values = values_.data() + first_token_[index] * padded_;
    for (int token = 0; token < tokens; ++token) {
      const float* row = x + (first_token_[index] + token) * cols_;
      for (int64_t col = 0; col < cols_; ++col) values[col * tokens + token] = row[col];
    }
  }

  void fill_rounded(const float* x, int64_t index) {
    const int tokens = tiles_[index].tokens;
    const int64_t groups = padded_ / kScaleGroup, first = first_token_[index];
    for (int token = 0; token < tokens; ++token) {
      const float* row = x + (first + token) * cols_;
      for (int64_t group = 0; group < groups; ++group) {
        alignas(32) int8_t rounded[kScaleGroup];
        const int64_t at = first * groups + group * tokens + token;
        scales_[at] = round_columns(row, group * kScaleGroup, rounded);
        int sum = 0;
        for (int8_t value : rounded) sum += value;
        corrections_[at] = -128 * sum;
        int32_t* quads = quads_.data() + first * padded_ / 4 + group * kScaleGroup / 4 * tokens + token;
        for (int64_t quad = 0; quad < kScaleGroup / 4; ++quad)
          std::memcpy(quads + quad * tokens, rounded + 4 * quad, 4);
      }
    }
  }

  float round_columns(const float* row, int64_t first_col, int8_t* rounded) const {
    if (first_col + kScaleGroup <= cols_) return round_group(row + first_col, rounded);
    float padded[kScaleGroup] = {};
    std::copy(row + first_col, row + cols_, padded);
    return round_group(padded, rounded);
  }

  int64_t cols_, padded_;
  std::vector<ActivationTile> tiles_;
  std::vector<int64_t> first_token_;
  std::vector<int32_t> quads_, corrections_;
  std::vector<float> scales_, values_;
};

TileKernel kernel_for(InstructionSet instructions, WeightFormat format, int tokens) {
  switch (instructions) {
    case InstructionSet::avx512_vnni:
      return avx512_kernel(format, tokens);
    case InstructionSet::avx2:
      return avx2_kernel(format, tokens);
    default:
      return reference_kernel(format);
  }
}

}  // namespace

InstructionSet best_instruction_set() {
  static const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  return avx512 ? InstructionSet::avx512_vnni : InstructionSet::avx2;
}

namespace {

void multiply_block(const QuantizedProduct& product, int64_t block, const Activations& activations,
                    InstructionSet instructions) {
  const QuantizedMatrix& w = *product.w;
  alignas(64) float tile_y[kTileTokens[0] * kRowBlock];
  const int64_t rows = std::min(kRowBlock, w.rows() - block * kRowBlock);
  for (int64_t index = 0; index < activations.tile_count(); ++index) {
    const ActivationTile& tile = activations.tile(index);
    kernel_for(instructions, w.format(), tile.tokens)(tile_y, tile, w, block);
    for (int token = 0; token < tile.tokens; ++token) {
      float* row = product.y + (activations.first_token(index) + token) * w.rows() + block * kRowBlock;
      std::memcpy(row, tile_y + token * kRowBlock, static_cast<size_t>(rows) * sizeof(float));
    }
  }
}

}  // namespace

void quantized_products(std::span<const QuantizedProduct> products, const float* x, int64_t tokens,
                        InstructionSet instructions) {
  if (tokens <= 0 || products.empty()) return;
  const QuantizedMatrix& first = *products[0].w;
  std::vector<int64_t> end_block;  // of each product, counted over all
  for (const QuantizedProduct& product : products) {
    const bool same_x = (product.w->format() == WeightFormat::bf16) == (first.format() == WeightFormat::bf16);
    if (product.w->cols() != first.cols() || !same_x)
      throw ShapeError("products of one x need matrices of one kind and width");
    end_block.push_back((end_block.empty() ? 0 : end_block.back()) + product.w->row_blocks());
  }
  const Activations activations(x, tokens, first);
  const int64_t block_work = kRowBlock * first.padded_cols() * tokens;
  const int64_t grain = std::max<int64_t>(1, kMultiplyAddsPerThread / block_work);
  parallel_for(end_block.back(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const size_t product = std::upper_bound(end_block.begin(), end_block.end(), block) - end_block.begin();
      const int64_t first_block = product == 0 ? 0 : end_block[product - 1];
      multiply_block(products[product], block - first_block, activations, instructions);
    }
  });
}

void quantized_product(float* y, const float* x, int64_t tokens, const QuantizedMatrix& w,
                       InstructionSet instructions) {
  const QuantizedProduct product{y, &w};
  quantized_products({&product, 1}, x, tokens, instructions);
}

}  // namespace starling

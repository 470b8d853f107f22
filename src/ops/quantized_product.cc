#include "ops/quantized_product.h"

#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <vector>

#include "core/error.h"
#include "core/threads.h"
#include "ops/quantized_kernels.h"
#include "ops/quantized_kernels_amx.h"
#include "ops/round_to_int8.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

// Below this a second thread costs more to wake than it saves (about 10 us).
constexpr int64_t kMultiplyAddsPerThread = int64_t{1} << 20;
constexpr int64_t kRoundedPerThread = 4096;  // values, right before a product: the other threads still look for work

// A group of rounded values as AVX2's kernels want them.
struct SignsApart {
  explicit SignsApart(const int8_t* rounded) {
    const __m256i values = _mm256_load_si256(reinterpret_cast<const __m256i*>(rounded)), zero = _mm256_setzero_si256();
    const __m256i negative = _mm256_cmpgt_epi8(zero, values), sizes = _mm256_abs_epi8(values);
    _mm256_store_si256(reinterpret_cast<__m256i*>(magnitudes), sizes);
    const __m256i positive = _mm256_set1_epi8(static_cast<char>(kPositive));
    _mm256_store_si256(reinterpret_cast<__m256i*>(signs), _mm256_xor_si256(negative, positive));
    alignas(32) int64_t parts[4];
    _mm256_store_si256(reinterpret_cast<__m256i*>(parts), _mm256_sad_epu8(_mm256_and_si256(sizes, negative), zero));
    negative_sizes = static_cast<int32_t>(parts[0] + parts[1] + parts[2] + parts[3]);
  }
  alignas(32) uint8_t magnitudes[kScaleGroup], signs[kScaleGroup];
  int32_t negative_sizes;  // the sum of them
};

// The sum of a group of rounded values.
int32_t sum_of(const int8_t* rounded) {
  const __m256i values = _mm256_load_si256(reinterpret_cast<const __m256i*>(rounded));
  const __m256i above_least = _mm256_xor_si256(values, _mm256_set1_epi8(static_cast<char>(0x80)));  // value + 128
  const __m256i sums = _mm256_sad_epu8(above_least, _mm256_setzero_si256());
  const __m128i two = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
  return static_cast<int32_t>(_mm_cvtsi128_si64(two) + _mm_extract_epi64(two, 1) - 128 * kScaleGroup);
}

// Two values rounded to bf16 (to nearest, ties to even), the first in the low half. A NaN may become an infinity.
uint32_t bf16_pair(float low, float high) {
  const auto rounded = [](float value) {
    const auto bits = std::bit_cast<uint32_t>(value);
    return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  };
  return rounded(low) | rounded(high) << 16;
}

// The 16 registers of AVX2 hold the sums of four tokens with 16 rows, and of six where the factors need no others.
int largest_tile(InstructionSet instructions, WeightFormat format) {
  return instructions == InstructionSet::avx2 && format != WeightFormat::f32 ? 4 : kTileTokens[0];
}

// The tokens of one product, cut into tiles of the sizes that kernels exist for. The buffers only grow, so that a
// decoder that makes one product after another allocates nothing.
class Activations {
 public:
  void fill(const float* x, int64_t tokens, const QuantizedMatrix& w, InstructionSet instructions) {
    cols_ = w.cols(), padded_ = w.padded_cols();
    const bool rounded = has_scales(w.format()), pairs = w.format() == WeightFormat::bf16,
               values = w.format() == WeightFormat::f32;
    const int64_t groups = padded_ / kScaleGroup;
    signs_apart_ = instructions == InstructionSet::avx2;
    grow(quads_, rounded ? tokens * padded_ / 4 : 0);
    grow(signs_, rounded && signs_apart_ ? tokens * padded_ / 4 : 0);
    grow(scales_, rounded ? tokens * groups : 0);
    grow(corrections_, rounded ? tokens * groups : 0);
    grow(pairs_, pairs ? tokens * padded_ / 2 : 0);
    grow(values_, values ? tokens * padded_ : 0);
    tiles_.clear(), first_token_.clear();
    for (int64_t first = 0; first < tokens;) {
      const int64_t most = std::min<int64_t>(tokens - first, largest_tile(instructions, w.format()));
      const int size = *std::find_if(std::begin(kTileTokens), std::end(kTileTokens),
                                     [&](int candidate) { return candidate <= most; });
      tiles_.push_back({size, quads_.data() + first * padded_ / 4, signs_.data() + first * padded_ / 4,
                        scales_.data() + first * groups, corrections_.data() + first * groups,
                        pairs_.data() + first * padded_ / 2, values_.data() + first * padded_});
      first_token_.push_back(first);
      first += size;
    }
    share_fetching();
    const int64_t grain = std::max<int64_t>(1, kRoundedPerThread / (kTileTokens[0] * padded_));
    parallel_for(static_cast<int64_t>(tiles_.size()), grain, [&](int64_t begin, int64_t end) {
      for (int64_t tile = begin; tile < end; ++tile)
        rounded ? fill_rounded(x, tile) : pairs ? fill_pairs(x, tile) : fill_values(x, tile);
    });
  }

  int64_t tile_count() const { return static_cast<int64_t>(tiles_.size()); }
  const ActivationTile& tile(int64_t index) const { return tiles_[index]; }
  int64_t first_token(int64_t index) const { return first_token_[index]; }

 private:
  // Among the last tiles. The first takes no part: it waits for memory itself, for the panel it is the first to read.
  void share_fetching() {
    const int64_t tiles = tile_count() - 1, fetching = tiles >= 4 ? 4 : std::min<int64_t>(tiles, 2);
    for (int64_t i = 0; i < fetching; ++i) {
      tiles_[tiles - i].fetch_begin = static_cast<int>(8 * i / fetching);
      tiles_[tiles - i].fetch_end = static_cast<int>(8 * (i + 1) / fetching);
    }
  }

  template <class T>
  static void grow(std::vector<T>& buffer, int64_t size) {
    if (static_cast<int64_t>(buffer.size()) < size) buffer.resize(static_cast<size_t>(size));
  }

  void fill_pairs(const float* x, int64_t index) {
    const int tokens = tiles_[index].tokens;
    uint32_t* pairs = pairs_.data() + first_token_[index] * padded_ / 2;
    for (int token = 0; token < tokens; ++token) {
      const float* row = x + (first_token_[index] + token) * cols_;
      for (int64_t pair = 0; pair < padded_ / 2; ++pair) {
        const int64_t col = 2 * pair;
        pairs[pair * tokens + token] = bf16_pair(col < cols_ ? row[col] : 0.0f, col + 1 < cols_ ? row[col + 1] : 0.0f);
      }
    }
  }

  void fill_values(const float* x, int64_t index) {
    const int tokens = tiles_[index].tokens;
    float* values = values_.data() + first_token_[index] * padded_;
    for (int token = 0; token < tokens; ++token) {
      const float* row = x + (first_token_[index] + token) * cols_;
      for (int64_t col = 0; col < padded_; ++col) values[col * tokens + token] = col < cols_ ? row[col] : 0.0f;
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
        scales_[at] = round_to_int8(row + group * kScaleGroup, cols_ - group * kScaleGroup, rounded);
        const int64_t quads = first * padded_ / 4 + group * kScaleGroup / 4 * tokens + token;
        if (signs_apart_) {
          const SignsApart apart(rounded);
          corrections_[at] = apart.negative_sizes;
          spread(quads_.data() + quads, apart.magnitudes, tokens);
          spread(signs_.data() + quads, apart.signs, tokens);
        } else {
          corrections_[at] = -128 * sum_of(rounded);
          spread(quads_.data() + quads, rounded, tokens);
        }
      }
    }
  }

  // The words of a group, among those of other tokens.
  static void spread(int32_t* to, const void* group, int tokens) {
    for (int64_t quad = 0; quad < kScaleGroup / 4; ++quad)
      std::memcpy(to + quad * tokens, static_cast<const std::byte*>(group) + 4 * quad, 4);
  }

  int64_t cols_ = 0, padded_ = 0;
  bool signs_apart_ = false;
  std::vector<ActivationTile> tiles_;
  std::vector<int64_t> first_token_;
  std::vector<int32_t> quads_, signs_, corrections_;
  std::vector<float> scales_, values_;
  std::vector<uint32_t> pairs_;
};

TileKernel kernel_for(InstructionSet instructions, WeightFormat format, int tokens) {
  switch (instructions) {
    case InstructionSet::amx:  // for the tokens that do not fill a tile
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
  if (!use_avx512() || !__builtin_cpu_supports("avx512vnni")) return InstructionSet::avx2;
  return amx_is_there() ? InstructionSet::amx : InstructionSet::avx512_vnni;
}

std::string_view instruction_set_name(InstructionSet instructions) {
  constexpr std::string_view kNames[] = {"reference", "avx2", "avx512_vnni", "amx"};
  return kNames[static_cast<size_t>(instructions)];
}

namespace {

// From so many tiles on, unpacking 4-bit weights once costs less than at every tile.
constexpr int64_t kTilesToUnpackFor = 8;

// The panel of `blocks` blocks stays in the cache while all tokens pass over it.
void multiply_panel(float* y, const QuantizedMatrix& w, int64_t first_block, int blocks, const Activations& activations,
                    InstructionSet instructions) {
  constexpr int64_t kPanelRows = kPanelBlocks * kRowBlock;
  alignas(64) float tile_y[kPanelRows * kTileTokens[0]];  // where the panel has fewer rows than its blocks
  const int64_t first_row = first_block * kRowBlock, rows = std::min(blocks * kRowBlock, w.rows() - first_row);
  const bool whole = rows == blocks * kRowBlock;
  thread_local QuantizedMatrix unpacked;
  const bool unpack = w.format() == WeightFormat::code4 && activations.tile_count() >= kTilesToUnpackFor &&
                      instructions != InstructionSet::reference;
  if (unpack) unpacked.unpack(w, first_block, blocks);
  const QuantizedMatrix& weights = unpack ? unpacked : w;
  for (int64_t index = 0; index < activations.tile_count(); ++index) {
    ActivationTile tile = activations.tile(index);
    if (unpack) tile.fetch_end = tile.fetch_begin;  // nothing lies behind an unpacked panel
    float* const tokens_y = y + activations.first_token(index) * w.rows() + first_row;
    const TileOutput output = whole ? TileOutput{tokens_y, w.rows()} : TileOutput{tile_y, kPanelRows};
    kernel_for(instructions, weights.format(), tile.tokens)(output, tile, weights, unpack ? 0 : first_block, blocks);
    for (int token = 0; !whole && token < tile.tokens; ++token)
      std::copy_n(output.of(token), rows, tokens_y + token * w.rows());
  }
}

struct Buffers {
  AmxActivations amx;
  Activations rest;  // the tokens after those
};

int64_t panels_of(const QuantizedMatrix& w) { return (w.row_blocks() + kPanelBlocks - 1) / kPanelBlocks; }

}  // namespace

void quantized_products(std::span<const QuantizedProduct> products, const float* x, int64_t tokens,
                        InstructionSet instructions) {
  if (tokens <= 0 || products.empty()) return;
  const QuantizedMatrix& first = *products[0].w;
  std::vector<int64_t> end_panel;  // of each product, counted over all
  for (const QuantizedProduct& product : products) {
    const bool same_x =
        product.w->format() == first.format() || (has_scales(product.w->format()) && has_scales(first.format()));
    if (product.w->cols() != first.cols() || !same_x)
      throw ShapeError("products of one x need matrices of one kind and width");
    end_panel.push_back((end_panel.empty() ? 0 : end_panel.back()) + panels_of(*product.w));
  }
  const int64_t on_amx = instructions == InstructionSet::amx ? amx_tokens(tokens, first.format()) : 0;
  thread_local Buffers buffers;
  Activations& rest = buffers.rest;  // of this thread, for the bodies that run on others
  AmxActivations& tiles = buffers.amx;
  if (on_amx > 0) tiles.fill(x, on_amx, first);
  rest.fill(x + on_amx * first.cols(), tokens - on_amx, first, instructions);
  const int64_t panel_work = kPanelBlocks * kRowBlock * first.padded_cols() * tokens;
  const int64_t grain = std::max<int64_t>(1, kMultiplyAddsPerThread / panel_work);
  SharedItems panels(end_panel.back(), grain);
  parallel_for(panels.ranges(), 1, [&](int64_t range, int64_t) {
    std::optional<AmxTiles> amx;
    if (on_amx > 0) amx.emplace(amx_shapes(first.format()));
    for (int64_t panel; (panel = panels.take(range)) >= 0;) {
      const size_t product = std::upper_bound(end_panel.begin(), end_panel.end(), panel) - end_panel.begin();
      const int64_t first_block = (panel - (product == 0 ? 0 : end_panel[product - 1])) * kPanelBlocks;
      const auto& [y, w] = products[product];
      const int blocks = static_cast<int>(std::min<int64_t>(kPanelBlocks, w->row_blocks() - first_block));
      if (amx) amx_multiply(y, tiles, *w, first_block, blocks);
      multiply_panel(y + on_amx * w->rows(), *w, first_block, blocks, rest, instructions);
    }
  });
}

void quantized_product(float* y, const float* x, int64_t tokens, const QuantizedMatrix& w,
                       InstructionSet instructions) {
  const QuantizedProduct product{y, &w};
  quantized_products({&product, 1}, x, tokens, instructions);
}

}  // namespace starling

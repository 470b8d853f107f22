#include "ops/quantized_matrix.h"

#include <fmt/format.h>
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "ops/round_to_int8.h"
#include "ops/weight_steps.h"

namespace starling {
namespace {

constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT;

uint16_t to_f16(float value) { return static_cast<uint16_t>(_cvtss_sh(value, kNearest)); }
float from_f16(uint16_t bits) { return _cvtsh_ss(bits); }

// Round to nearest, ties to even; a NaN stays one.
uint16_t to_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float from_bf16(uint16_t stored) {
  const uint32_t bits = static_cast<uint32_t>(stored) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

float largest_of(std::span<const float> values) {
  float largest = 0;
  for (float value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

std::array<int8_t, 256> nearest_values(const std::array<int8_t, 16>& codebook) {
  std::array<int8_t, 256> nearest;
  for (int i = 0; i < 256; ++i)
    nearest[i] = *std::min_element(codebook.begin(), codebook.end(), [i](int8_t a, int8_t b) {
      return std::abs(a - (i - 128)) < std::abs(b - (i - 128));
    });
  return nearest;
}

// Replaces values, a multiple of 32 of them, by their first places in the codebook. False when one is not there.
bool to_codes(const std::array<int8_t, 16>& codebook, std::span<uint8_t> values) {
  std::array<__m256i, 16> value, code;
  size_t distinct = 0;
  for (int place = 0; place < 16; ++place) {
    if (std::find(codebook.begin(), codebook.begin() + place, codebook[place]) != codebook.begin() + place) continue;
    value[distinct] = _mm256_set1_epi8(codebook[place]);
    code[distinct++] = _mm256_set1_epi8(static_cast<char>(place));
  }
  __m256i all_known = _mm256_set1_epi8(-1);
  for (size_t i = 0; i < values.size(); i += sizeof(__m256i)) {
    auto* at = reinterpret_cast<__m256i*>(values.data() + i);
    const __m256i given = _mm256_loadu_si256(at);
    __m256i codes = _mm256_setzero_si256(), known = codes;
    for (size_t j = 0; j < distinct; ++j) {
      const __m256i is = _mm256_cmpeq_epi8(given, value[j]);
      codes = _mm256_or_si256(codes, _mm256_and_si256(is, code[j]));
      known = _mm256_or_si256(known, is);
    }
    _mm256_storeu_si256(at, codes);
    all_known = _mm256_and_si256(all_known, known);
  }
  return _mm256_movemask_epi8(all_known) == -1;
}

// Rounds a group to the values of a codebook times one scale.
class CodeRounding {
 public:
  explicit CodeRounding(const std::array<int8_t, 256>& nearest) : nearest_(nearest) {
    end_ = std::max(std::abs(static_cast<float>(nearest.front())), std::abs(static_cast<float>(nearest.back())));
  }

  // Of several ends for the group's largest weight, with either sign, the one whose least-squares scale errs least.
  // For codes q the best scale is sum(x q) / sum(q q), and the squared error falls by sum(x q)^2 / sum(q q).
  float round(std::span<const float> values, std::span<int8_t> rounded) const {
    const float largest = largest_of(values);
    float best_scale = 0, best_gain = 0, best_inverse = 0;
    for (float stretch : {0.82f, 0.89f, 0.96f, 1.0f, 1.05f}) {
      for (float sign : {1.0f, -1.0f}) {
        const float inverse = largest > 0 ? sign * stretch * end_ / largest : 0.0f;
        float xq = 0, qq = 0;
        for (float value : values) {
          const auto q = static_cast<float>(code(value * inverse));
          xq += value * q;
          qq += q * q;
        }
        if (qq == 0 || xq * xq / qq <= best_gain) continue;
        best_gain = xq * xq / qq, best_scale = xq / qq, best_inverse = inverse;
      }
    }
    for (size_t i = 0; i < values.size(); ++i) rounded[i] = code(values[i] * best_inverse);
    return best_scale;
  }

 private:
  int8_t code(float value) const {
    return nearest_[static_cast<int>(std::clamp(value, -128.0f, 127.0f) + 128.5f)];  // 128.5: rounds to nearest
  }
  float end_ = 0;
  const std::array<int8_t, 256>& nearest_;
};

}  // namespace

QuantizedMatrix::QuantizedMatrix(WeightFormat format, int64_t rows, int64_t cols,
                                 const std::array<int8_t, 16>& codebook)
    : format_(format), rows_(rows), cols_(cols), codebook_(codebook) {
  if (rows <= 0 || cols <= 0) throw ShapeError(fmt::format("a weight matrix of {} x {}", rows, cols));
  data_ = allocate_large_array<uint8_t>(static_cast<size_t>(row_blocks()) * block_bytes());
  if (!has_scales(format)) return;
  if (format == WeightFormat::code4) nearest_ = nearest_values(codebook);
  scales_ = allocate_large_array<uint16_t>(static_cast<size_t>(row_blocks() * groups() * kRowBlock));
  units_ = allocate_large_array<float>(static_cast<size_t>(row_blocks() * kRowBlock));
}

size_t QuantizedMatrix::block_bytes() const {
  const auto weights = static_cast<size_t>(kRowBlock * padded_cols());
  if (format_ == WeightFormat::f32) return weights * 4;
  if (format_ == WeightFormat::bf16) return weights * 2;
  return format_ == WeightFormat::int8 ? weights : weights / 2;
}

size_t QuantizedMatrix::bytes() const {
  const size_t scales = !has_scales(format_) ? 0 : static_cast<size_t>(kRowBlock) * (2 * groups() + 4);
  return static_cast<size_t>(row_blocks()) * (block_bytes() + scales);
}

// Of a value without a scale, counted in values.
size_t QuantizedMatrix::place(int64_t row, int64_t col) const {
  const int64_t step = format_ == WeightFormat::bf16 ? 2 : 1, block = row / kRowBlock, lane = row % kRowBlock;
  return static_cast<size_t>((block * padded_cols() / step + col / step) * kRowBlock + lane) * step + col % step;
}

void QuantizedMatrix::check_row(int64_t row, size_t cols) const {
  if (row < 0 || row >= rows_ || cols != static_cast<size_t>(cols_)) {
    throw ShapeError(fmt::format("row {} of {} columns does not fit a matrix of {} x {}", row, cols, rows_, cols_));
  }
}

void QuantizedMatrix::set_scales(int64_t row, std::span<const float> scales) {
  float unit = 0;
  for (float scale : scales) unit = std::max(unit, std::abs(scale));
  const int64_t block = row / kRowBlock, lane = row % kRowBlock;
  units_[row] = unit;
  for (int64_t group = 0; group < groups(); ++group) {
    const float fraction = unit > 0 ? scales[group] / unit : 0.0f;
    scales_[(block * groups() + group) * kRowBlock + lane] = to_f16(fraction);
  }
}

// `stored` [padded_cols]: bytes or codes, written four columns at a time.
void QuantizedMatrix::interleave(int64_t row, std::span<const uint8_t> stored) {
  uint8_t* data = data_.get() + static_cast<size_t>(row / kRowBlock) * block_bytes() + row % kRowBlock * 4;
  if (format_ == WeightFormat::int8) {
    for (int64_t col = 0; col < padded_cols(); col += 4) std::memcpy(data + col * kRowBlock, &stored[col], 4);
    return;
  }
  for (int64_t col = 0; col < padded_cols(); col += 8) {
    uint32_t even, odd;
    std::memcpy(&even, &stored[col], 4);
    std::memcpy(&odd, &stored[col + 4], 4);
    const uint32_t pair = even | odd << 4;  // codes are below 16, so no nibble runs over
    std::memcpy(data + col / 2 * kRowBlock, &pair, 4);
  }
}

uint8_t QuantizedMatrix::value(int64_t row, int64_t col) const {
  const int64_t lane = row % kRowBlock;
  const uint8_t* data = block_data(row / kRowBlock);
  if (format_ == WeightFormat::int8) return data[(col / 4 * kRowBlock + lane) * 4 + col % 4];
  const uint8_t pair = data[(col / 8 * kRowBlock + lane) * 4 + col % 4];
  return col / 4 % 2 == 0 ? pair & 0x0f : pair >> 4;
}

void QuantizedMatrix::set_row(int64_t row, std::span<const float> values) {
  check_row(row, values.size());
  if (format_ == WeightFormat::f32) {
    auto* data = reinterpret_cast<float*>(data_.get());
    for (int64_t col = 0; col < cols_; ++col) data[place(row, col)] = values[col];
    return;
  }
  if (format_ == WeightFormat::bf16) {
    auto* data = reinterpret_cast<uint16_t*>(data_.get());
    for (int64_t col = 0; col < cols_; ++col) data[place(row, col)] = to_bf16(values[col]);
    return;
  }
  const CodeRounding codes(nearest_);
  std::vector<float> scales(static_cast<size_t>(groups()));
  std::vector<int8_t> rounded(static_cast<size_t>(padded_cols()));
  for (int64_t group = 0; group < groups(); ++group) {
    const int64_t first = group * kScaleGroup, count = std::min(kScaleGroup, cols_ - first);
    const std::span<const float> weights = values.subspan(first, count);
    const std::span<int8_t> out = std::span(rounded).subspan(first, count);
    scales[group] =
        format_ == WeightFormat::int8 ? round_to_int8(weights.data(), count, out.data()) : codes.round(weights, out);
  }
  set_row(row, std::span<const int8_t>(rounded).first(values.size()), scales);
}

void QuantizedMatrix::set_row(int64_t row, std::span<const int8_t> values, std::span<const float> scales) {
  check_row(row, values.size());
  if (!has_scales(format_) || scales.size() != static_cast<size_t>(groups())) {
    throw ShapeError(fmt::format("{} scales for {} groups of a row", scales.size(), groups()));
  }
  set_scales(row, scales);
  std::vector<uint8_t> stored(static_cast<size_t>(padded_cols()));
  if (format_ == WeightFormat::int8) {
    for (int64_t col = 0; col < cols_; ++col) stored[col] = static_cast<uint8_t>(values[col] + 128);
  } else {
    std::memcpy(stored.data(), values.data(), values.size());
    std::fill(stored.begin() + cols_, stored.end(), static_cast<uint8_t>(codebook_[0]));
    if (!to_codes(codebook_, stored)) {
      const auto wrong = std::ranges::find_if(
          values, [&](int8_t value) { return std::ranges::find(codebook_, value) == codebook_.end(); });
      throw DataError(fmt::format("weight value {} is not in the codebook", *wrong));
    }
  }
  interleave(row, stored);
}

void QuantizedMatrix::unpack(const QuantizedMatrix& code4, int64_t first_block, int64_t blocks) {
  if (format_ != WeightFormat::int8 || cols_ != code4.cols_ || row_blocks() != blocks)
    *this = QuantizedMatrix(WeightFormat::int8, blocks * kRowBlock, code4.cols_);
  const Code4Steps steps(code4);
  const uint8_t* from = code4.block_data(first_block);
  auto* to = reinterpret_cast<__m256i*>(data_.get());
  for (const uint8_t* end = from + static_cast<size_t>(blocks) * code4.block_bytes(); from < end; from += 64) {
    const __m256i low = load_bytes(from), high = load_bytes(from + 32);
    for (int step = 0; step < Code4Steps::kOfLine; ++step) {
      _mm256_storeu_si256(to++, steps(low, step));
      _mm256_storeu_si256(to++, steps(high, step));
    }
  }
  std::copy_n(code4.block_scales(first_block), blocks * groups() * kRowBlock, scales_.get());
  std::copy_n(code4.block_units(first_block), blocks * kRowBlock, units_.get());
}

void QuantizedMatrix::get_row(int64_t row, std::span<float> values) const {
  check_row(row, values.size());
  if (format_ == WeightFormat::f32) {
    const auto* data = reinterpret_cast<const float*>(data_.get());
    for (int64_t col = 0; col < cols_; ++col) values[col] = data[place(row, col)];
    return;
  }
  if (format_ == WeightFormat::bf16) {
    const auto* data = reinterpret_cast<const uint16_t*>(data_.get());
    for (int64_t col = 0; col < cols_; ++col) values[col] = from_bf16(data[place(row, col)]);
    return;
  }
  const int64_t block = row / kRowBlock, lane = row % kRowBlock;
  for (int64_t col = 0; col < cols_; ++col) {
    const float scale = units_[row] * from_f16(block_scales(block)[col / kScaleGroup * kRowBlock + lane]);
    const uint8_t stored = value(row, col);
    values[col] = scale * static_cast<float>(format_ == WeightFormat::int8 ? stored - 128 : codebook_[stored]);
  }
}

}  // namespace starling

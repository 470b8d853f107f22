// A weight matrix [rows, cols] held in memory in the form that inference reads fastest.
//
//   code4  w = scale * codebook[code]     4 bits a weight; exact for GGUF's IQ2_XXS, whose weights take 6 values
//   int8   w = scale * q, |q| <= 127      8 bits a weight
//   bf16   w                              16 bits a weight, no scale
//   f32    w                              32 bits a weight, no scale; activations are not rounded either
//
// A scale belongs to one row and 32 columns: row_unit[row] (f32) times a f16 fraction of it, so that small scales keep
// their precision. 16 rows are interleaved, so that a vector register holds one step of 16 output values:
//   int8   byte of (block b of 16 rows, row r, column k) = q + 128 at ((b * K/4 + k/4) * 16 + r) * 4 + k%4
//   code4  the same order for two steps of four columns at once: the even step in the low nibble, the odd in the high
//   bf16   value at ((b * K/2 + k/2) * 16 + r) * 2 + k%2
//   f32    value at (b * K + k) * 16 + r
// Rows are padded to 16 and columns to 32 with zeros.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/large_memory.h"

namespace starling {

enum class WeightFormat { code4, int8, bf16, f32 };
inline bool has_scales(WeightFormat format) { return format == WeightFormat::code4 || format == WeightFormat::int8; }

inline constexpr int64_t kRowBlock = 16;    // rows interleaved
inline constexpr int64_t kScaleGroup = 32;  // columns that share a scale

// 16 values for weights that are rounded to 4 bits: dense where normal weights are. The values of ggml's IQ4_NL, so
// that such files are kept exactly.
inline constexpr std::array<int8_t, 16> kRoundingCodebook{-127, -104, -83, -65, -49, -35, -22, -10,
                                                          1,    13,   25,  38,  53,  69,  89,  113};

class QuantizedMatrix {
 public:
  QuantizedMatrix() = default;
  QuantizedMatrix(WeightFormat format, int64_t rows, int64_t cols, const std::array<int8_t, 16>& codebook = {});

  // Different blocks of 16 rows may be set from different threads at once.
  // int8 rounds to nearest with scale = max / 127. code4 takes of a few scales the one with the least squared error.
  void set_row(int64_t row, std::span<const float> values);
  // int8 and code4: exact. values [cols], scales one a group of 32 columns. Throws DataError for a value that is not in
  // the codebook.
  void set_row(int64_t row, std::span<const int8_t> values, std::span<const float> scales);
  void get_row(int64_t row, std::span<float> values) const;  // what the products see
  // Becomes the same weights as `blocks` blocks of 16 rows of a code4 matrix, with 8 bits each.
  void unpack(const QuantizedMatrix& code4, int64_t first_block, int64_t blocks);

  WeightFormat format() const { return format_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t row_blocks() const { return (rows_ + kRowBlock - 1) / kRowBlock; }
  int64_t padded_cols() const { return groups() * kScaleGroup; }
  int64_t groups() const { return (cols_ + kScaleGroup - 1) / kScaleGroup; }
  size_t bytes() const;

  // For the kernels: the start of a block of 16 rows.
  const uint8_t* block_data(int64_t block) const { return data_.get() + static_cast<size_t>(block) * block_bytes(); }
  const uint16_t* block_scales(int64_t block) const {
    return scales_.get() + block * groups() * kRowBlock;
  }  // [groups][16] f16
  const float* block_units(int64_t block) const { return units_.get() + block * kRowBlock; }
  const std::array<int8_t, 16>& codebook() const { return codebook_; }

 private:
  size_t block_bytes() const;
  void check_row(int64_t row, size_t cols) const;
  void set_scales(int64_t row, std::span<const float> scales);
  size_t place(int64_t row, int64_t col) const;
  void interleave(int64_t row, std::span<const uint8_t> stored);
  uint8_t value(int64_t row, int64_t col) const;

  WeightFormat format_ = WeightFormat::int8;
  int64_t rows_ = 0, cols_ = 0;
  std::array<int8_t, 16> codebook_{};
  std::array<int8_t, 256> nearest_{};  // code4: the codebook's value for each value + 128
  LargeArray<uint8_t> data_;
  LargeArray<uint16_t> scales_;
  LargeArray<float> units_;
};

}  // namespace starling

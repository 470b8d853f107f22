#include "ops/quantized_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "core/error.h"
#include "tensor/bfloat16.h"

namespace starling {
namespace {

constexpr std::array<int8_t, 16> kCodebook{0, 8, 25, 43, -8, -25, -43};

struct Case {
  WeightFormat format;
  int64_t rows, cols, tokens;
};

// Sizes that are and are not multiples of the 16 rows, the 32 columns and the tile of tokens.
const Case kCases[] = {
    {WeightFormat::int8, 16, 32, 1},  {WeightFormat::int8, 17, 33, 3},    {WeightFormat::int8, 200, 320, 29},
    {WeightFormat::int8, 50, 90, 40}, {WeightFormat::code4, 33, 288, 48}, {WeightFormat::bf16, 47, 70, 49},
    {WeightFormat::code4, 16, 32, 1}, {WeightFormat::code4, 40, 100, 7},  {WeightFormat::code4, 96, 256, 31},
    {WeightFormat::bf16, 16, 32, 1},  {WeightFormat::bf16, 5, 7, 15},     {WeightFormat::bf16, 130, 96, 12},
    {WeightFormat::f32, 16, 32, 1},   {WeightFormat::f32, 5, 7, 15},      {WeightFormat::f32, 130, 96, 12},
};

std::vector<float> random_values(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

QuantizedMatrix random_matrix(WeightFormat format, int64_t rows, int64_t cols) {
  QuantizedMatrix matrix(format, rows, cols, kCodebook);
  const std::vector<float> values = random_values(rows * cols, 1);
  std::mt19937 random(2);
  for (int64_t row = 0; row < rows; ++row) {
    if (format != WeightFormat::code4) {
      matrix.set_row(row, std::span(values).subspan(row * cols, cols));
      continue;
    }
    std::vector<int8_t> codes(cols);
    for (int8_t& code : codes) code = kCodebook[random() % 7];
    std::vector<float> scales(matrix.groups());
    for (float& scale : scales) scale = 0.001f + 0.0001f * static_cast<float>(random() % 100);
    matrix.set_row(row, codes, scales);
  }
  return matrix;
}

std::vector<float> product(const QuantizedMatrix& w, const std::vector<float>& x, int64_t tokens,
                           InstructionSet instructions) {
  std::vector<float> y(static_cast<size_t>(tokens * w.rows()), NAN);
  quantized_product(y.data(), x.data(), tokens, w, instructions);
  return y;
}

// AMX's order of bf16 sums: of each 32 columns the even and the odd ones apart.
std::vector<float> bf16_product_on_amx(const QuantizedMatrix& w, const std::vector<float>& x, int64_t tokens) {
  std::vector<float> y, row(static_cast<size_t>(w.padded_cols()));
  for (int64_t token = 0; token < tokens; ++token) {
    for (int64_t n = 0; n < w.rows(); ++n) {
      w.get_row(n, std::span(row).first(static_cast<size_t>(w.cols())));
      float total = 0;
      for (int64_t first = 0; first < w.cols(); first += kScaleGroup) {
        float sums[2] = {};
        for (int64_t k = first; k < std::min(first + kScaleGroup, w.cols()); ++k)
          sums[k % 2] = std::fma(row[k], to_float(to_bf16(x[token * w.cols() + k])), sums[k % 2]);
        total += sums[0] + sums[1];
      }
      y.push_back(total);
    }
  }
  return y;
}

TEST(QuantizedProduct, EveryInstructionSetGivesTheSameBits) {
  std::vector<InstructionSet> sets;
  for (InstructionSet set : {InstructionSet::avx2, InstructionSet::avx512_vnni, InstructionSet::amx})
    if (set <= best_instruction_set()) sets.push_back(set);
  for (const Case& c : kCases) {
    const QuantizedMatrix w = random_matrix(c.format, c.rows, c.cols);
    const std::vector<float> x = random_values(c.tokens * c.cols, 3);
    for (InstructionSet set : sets) {
      const bool own_order = set == InstructionSet::amx && c.format == WeightFormat::bf16;
      const std::vector<float> expected =
          own_order ? bf16_product_on_amx(w, x, c.tokens) : product(w, x, c.tokens, InstructionSet::reference);
      EXPECT_EQ(product(w, x, c.tokens, set), expected)
          << c.rows << "x" << c.cols << " tokens " << c.tokens << " set " << static_cast<int>(set);
    }
  }
}

TEST(QuantizedProduct, ARowHasTheSameBitsAloneAndInABatch) {
  for (const Case& c : kCases) {
    const QuantizedMatrix w = random_matrix(c.format, c.rows, c.cols);
    const std::vector<float> x = random_values(c.tokens * c.cols, 4);
    const std::vector<float> batch = product(w, x, c.tokens, best_instruction_set());
    for (int64_t token = 0; token < c.tokens; ++token) {
      const std::vector<float> row(x.begin() + token * c.cols, x.begin() + (token + 1) * c.cols);
      const std::vector<float> expected(batch.begin() + token * c.rows, batch.begin() + (token + 1) * c.rows);
      EXPECT_EQ(product(w, row, 1, best_instruction_set()), expected);
    }
  }
}

// int8: both factors are rounded with a step of max/127, so a product of N(0,1) values errs by about 0.01 and a sum of
// K by 0.01 sqrt(K); six deviations are allowed. bf16 rounds
// both by at most 2^-8 of them, f32 only the sum, by 2^-24 of its parts.
TEST(QuantizedProduct, IsNearTheExactProduct) {
  for (const Case& c : kCases) {
    const QuantizedMatrix w = random_matrix(c.format, c.rows, c.cols);
    const std::vector<float> x = random_values(c.tokens * c.cols, 5);
    const std::vector<float> y = product(w, x, c.tokens, best_instruction_set());
    std::vector<float> row(c.cols);
    for (int64_t n = 0; n < c.rows; ++n) {
      w.get_row(n, row);
      for (int64_t m = 0; m < c.tokens; ++m) {
        double exact = 0, weight_squares = 0;
        for (int64_t k = 0; k < c.cols; ++k) {
          exact += static_cast<double>(row[k]) * x[m * c.cols + k];
          weight_squares += static_cast<double>(row[k]) * row[k];
        }
        const double step = c.format == WeightFormat::f32 ? 1e-6 : 0.01;
        EXPECT_NEAR(y[m * c.rows + n], exact, 6 * step * std::sqrt(weight_squares) + 1e-5);
      }
    }
  }
}

TEST(QuantizedProduct, SeveralMatricesGetTheBitsOfEachAlone) {
  const QuantizedMatrix a = random_matrix(WeightFormat::int8, 40, 64), b = random_matrix(WeightFormat::code4, 33, 64);
  const QuantizedMatrix wide = random_matrix(WeightFormat::int8, 16, 96),
                        exact = random_matrix(WeightFormat::bf16, 16, 64);
  const std::vector<float> x = random_values(5 * 64, 8);
  std::vector<float> y_a(5 * 40), y_b(5 * 33);
  const QuantizedProduct both[] = {{y_a.data(), &a}, {y_b.data(), &b}};
  quantized_products(both, x.data(), 5);
  EXPECT_EQ(y_a, product(a, x, 5, best_instruction_set()));
  EXPECT_EQ(y_b, product(b, x, 5, best_instruction_set()));
  const QuantizedProduct widths[] = {{y_a.data(), &a}, {y_b.data(), &wide}},
                         kinds[] = {{y_a.data(), &a}, {y_b.data(), &exact}};
  EXPECT_THROW(quantized_products(widths, x.data(), 1), ShapeError);
  EXPECT_THROW(quantized_products(kinds, x.data(), 1), ShapeError);
}

TEST(QuantizedMatrix, Int8RoundsEachWeightToItsGroupsStep) {
  const std::vector<float> values = random_values(3 * 70, 6);
  QuantizedMatrix matrix(WeightFormat::int8, 3, 70);
  std::vector<float> row(70);
  for (int64_t r = 0; r < 3; ++r) {
    const auto given = std::span(values).subspan(r * 70, 70);
    matrix.set_row(r, given);
    matrix.get_row(r, row);
    for (int64_t k = 0; k < 70; ++k) {
      float largest = 0;
      for (int64_t j = k / 32 * 32; j < std::min<int64_t>(70, k / 32 * 32 + 32); ++j)
        largest = std::max(largest, std::abs(given[j]));
      // Half a step, and the f16 rounding of the scale (2^-11 of the value).
      EXPECT_NEAR(row[k], given[k], largest / 254 + std::abs(given[k]) / 1024);
    }
  }
}

// The steps of the codebook are a few percent of the largest weight apart; a wrong scale or code errs by far more.
TEST(QuantizedMatrix, Code4RoundsNormalWeightsToWithinEightPercent) {
  const std::vector<float> values = random_values(64 * 256, 9);
  QuantizedMatrix matrix(WeightFormat::code4, 64, 256, kRoundingCodebook);
  std::vector<float> row(256);
  double error = 0, size = 0;
  for (int64_t r = 0; r < 64; ++r) {
    const auto given = std::span(values).subspan(r * 256, 256);
    matrix.set_row(r, given);
    matrix.get_row(r, row);
    for (int64_t k = 0; k < 256; ++k) {
      error += (row[k] - given[k]) * (row[k] - given[k]);
      size += given[k] * given[k];
    }
  }
  EXPECT_LT(std::sqrt(error / size), 0.08);
}

TEST(QuantizedMatrix, Code4KeepsCodebookValuesAndRefusesOthers) {
  QuantizedMatrix matrix(WeightFormat::code4, 1, 32, kCodebook);
  std::vector<int8_t> codes(32, 43);
  codes[5] = -8;
  const std::vector<float> scales{0.5f};
  matrix.set_row(0, codes, scales);
  std::vector<float> row(32);
  matrix.get_row(0, row);
  EXPECT_EQ(row[0], 21.5f);
  EXPECT_EQ(row[5], -4.0f);
  codes[6] = 44;
  EXPECT_THROW(matrix.set_row(0, codes, scales), DataError);
}

TEST(QuantizedMatrix, ARowThatDoesNotFitIsAShapeError) {
  QuantizedMatrix matrix(WeightFormat::int8, 2, 32);
  const std::vector<float> short_row(31), row(32);
  EXPECT_THROW(matrix.set_row(0, short_row), ShapeError);
  EXPECT_THROW(matrix.set_row(2, row), ShapeError);
  EXPECT_THROW(QuantizedMatrix(WeightFormat::int8, 0, 32), ShapeError);
}

TEST(QuantizedProduct, ZeroRowsAndZeroTokensGiveZeros) {
  QuantizedMatrix matrix(WeightFormat::int8, 3, 32);
  EXPECT_EQ(product(matrix, std::vector<float>(64, 1.0f), 2, best_instruction_set()), std::vector<float>(6, 0.0f));
  QuantizedMatrix ones(WeightFormat::int8, 1, 32);
  ones.set_row(0, std::vector<float>(32, 1.0f));
  EXPECT_EQ(product(ones, std::vector<float>(32, 0.0f), 1, best_instruction_set()), std::vector<float>(1, 0.0f));
}

}  // namespace
}  // namespace starling

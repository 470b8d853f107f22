// The own bf16 products against plain loops in their order, bit by bit: on plain registers everywhere, and on those of
// processors with AMX.
#include "ops/matmul_amx.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "core/error.h"
#include "core/random.h"
#include "tensor/bfloat16.h"

namespace starling {
namespace {

// A matrix of random numbers inside a larger one, so that what lies beside it is seen when it is read or written.
struct Operand {
  Operand(int64_t rows, int64_t columns, bool transpose, uint64_t stream)
      : rows(rows), columns(columns), transpose(transpose) {
    values.resize(static_cast<size_t>((rows + 5) * (columns + 5)));
    for (size_t i = 0; i < values.size(); ++i) values[i] = to_bf16(random_normal(1, stream, i));
    view = make_view();
  }
  ConstMatrix make_view() const {
    const int64_t lines = transpose ? columns : rows, length = transpose ? rows : columns;
    const ConstMatrix stored =
        block(ConstMatrix{values.data(), DType::bf16, lines + 3, length + 5, length + 5, 1}, 2, lines, 3, length);
    return transpose ? transposed(stored) : stored;
  }
  float at(int64_t row, int64_t column) const {
    return to_float(static_cast<const bf16*>(view.data)[row * view.row_stride + column * view.column_stride]);
  }
  int64_t rows, columns;
  bool transpose;
  std::vector<bf16> values;
  ConstMatrix view;
};

struct Case {
  int64_t m, n, k;
};

constexpr Case kCases[] = {{1, 1, 1},     {16, 16, 32},  {33, 1, 70},   {1, 65, 31},     {32, 64, 192},  {96, 40, 33},
                           {70, 130, 64}, {130, 70, 90}, {450, 20, 40}, {40, 100, 1540}, {100, 40, 1540}};

// [m][n]: 32 of k after another, the even ones and the odd ones apart.
std::vector<float> sums_in_order(const Operand& a, const Operand& b) {
  std::vector<float> sums;
  for (int64_t m = 0; m < a.rows; ++m)
    for (int64_t n = 0; n < b.columns; ++n) {
      float total = 0;
      for (int64_t first = 0; first < a.columns; first += 32) {
        float parts[2] = {};
        for (int64_t k = first; k < std::min(first + 32, a.columns); ++k)
          parts[k % 2] = std::fma(a.at(m, k), b.at(k, n), parts[k % 2]);
        total += parts[0] + parts[1];
      }
      sums.push_back(total);
    }
  return sums;
}

// c [m][n] inside of a larger matrix of sevens.
template <class T>
struct Result {
  Result(int64_t m, int64_t n)
      : rows(m), columns(n), values(static_cast<size_t>((m + 2) * (n + 7)), from_float<T>(7)) {}
  Matrix view() {
    const Matrix whole{ConstMatrix{values.data(), dtype_of<T>(), rows + 2, columns + 7, columns + 7, 1}};
    return block(whole, 1, rows, 4, columns);
  }
  // What it should hold when the sums are written into it.
  std::vector<float> holding(const std::vector<float>& sums, Accumulate accumulate) const {
    std::vector<float> all(values.size(), 7.0f);
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t column = 0; column < columns; ++column) {
        const float sum = sums[static_cast<size_t>(row * columns + column)];
        all[static_cast<size_t>((row + 1) * (columns + 7) + column + 4)] =
            accumulate == Accumulate::yes ? 7.0f + sum : to_float(from_float<T>(sum));
      }
    return all;
  }
  std::vector<float> held() const {
    std::vector<float> all;
    for (T value : values) all.push_back(to_float(value));
    return all;
  }
  int64_t rows, columns;
  std::vector<T> values;
};

class TiledMatmul : public testing::TestWithParam<TileUnit> {
 protected:
  void SetUp() override {
    if (GetParam() == TileUnit::amx && !has_products(ProductKernels::amx)) GTEST_SKIP() << "no AMX";
  }

  template <class T>
  void expect_sums(const Operand& a, const Operand& b, const std::vector<float>& sums, Accumulate accumulate,
                   int64_t threads) {
    Result<T> c(a.rows, b.columns);
    const std::vector<float> expected = c.holding(sums, accumulate);
    matmul_in_tiles(c.view(), a.view, b.view, accumulate, GetParam(), threads);
    EXPECT_TRUE(c.held() == expected) << a.rows << " x " << b.columns << " x " << a.columns << ", transposed "
                                      << a.transpose << b.transpose << ", threads " << threads;
  }
};

INSTANTIATE_TEST_SUITE_P(Units, TiledMatmul, testing::Values(TileUnit::plain, TileUnit::amx),
                         [](const auto& unit) { return unit.param == TileUnit::amx ? "amx" : "plain"; });

TEST_P(TiledMatmul, HasTheBitsOfPlainLoopsInEachLayoutTypeAndCut) {
  for (const Case& shape : kCases)
    for (const auto& [transpose_a, transpose_b] :
         {std::pair{false, true}, {false, false}, {true, false}, {true, true}}) {
      const Operand a(shape.m, shape.k, transpose_a, 1), b(shape.k, shape.n, transpose_b, 2);
      const std::vector<float> sums = sums_in_order(a, b);
      for (int64_t threads : {1, 2, 3, 40}) {
        expect_sums<bf16>(a, b, sums, Accumulate::no, threads);
        expect_sums<float>(a, b, sums, Accumulate::no, threads);
        expect_sums<float>(a, b, sums, Accumulate::yes, threads);
      }
    }
}

TEST_P(TiledMatmul, CountsNumbersBelowTheSmallestNormalAsZero) {
  bf16 a[32] = {}, b[32] = {};
  a[0] = {1}, b[0] = to_bf16(0x1p126f);                 // a denormal
  a[1] = to_bf16(0x1p-100f), b[1] = to_bf16(0x1p-40f);  // a product below 2^-126
  a[2] = to_bf16(3.0f), b[2] = to_bf16(0.5f);
  float c = 1;
  matmul_in_tiles({ConstMatrix{&c, DType::f32, 1, 1, 1, 1}}, {a, DType::bf16, 1, 32, 32, 1},
                  {b, DType::bf16, 32, 1, 1, 1}, Accumulate::no, GetParam(), 1);
  EXPECT_EQ(c, 1.5f);
}

TEST_P(TiledMatmul, OfNoTermsIsZeroOrLeavesWhatWasThere) {
  const Operand a(40, 0, false, 1), b(0, 50, false, 2);
  const std::vector<float> zeros(40 * 50, 0.0f);
  expect_sums<float>(a, b, zeros, Accumulate::no, 2);
  expect_sums<float>(a, b, zeros, Accumulate::yes, 2);
}

TEST(Products, AreOneDnnsUntilOthersAreChosenWhereTheyAreThere) {
  EXPECT_EQ(products_in_use(), ProductKernels::onednn);
  if (!has_products(ProductKernels::amx)) {
    EXPECT_THROW(use_products(ProductKernels::amx), DeviceError);
    EXPECT_EQ(products_in_use(), ProductKernels::onednn);
    return;
  }
  use_products(ProductKernels::amx);
  const Operand a(70, 90, false, 1), b(90, 130, true, 2);
  Result<float> c(70, 130);
  const std::vector<float> expected = c.holding(sums_in_order(a, b), Accumulate::no);
  matmul(c.view(), a.view, b.view);
  use_products(ProductKernels::onednn);
  EXPECT_EQ(c.held(), expected);
}

}  // namespace
}  // namespace starling

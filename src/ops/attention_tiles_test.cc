// bf16 attention on tiles against attention of the same numbers in f32: by vectors, on plain tile registers, and on
// those of processors with AMX.
#include "ops/attention_tiles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "core/random.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "ops/vector_math.h"
#include "tensor/buffer.h"

namespace starling {
namespace {

struct Case {
  AttentionShape shape;
  std::vector<int32_t> starts;  // of documents, in each sequence
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.shape.sequences << "x" << c.shape.length << "x" << c.shape.heads << "/" << c.shape.kv_heads << "x"
       << c.shape.head_size << " " << c.starts.size();
}

// Lengths that end inside of a tile, of a step of 32 and of a block of 64; documents that begin there too.
const Case kCases[] = {
    {{1, 1, 1, 1, 64}, {0}},
    {{2, 16, 2, 1, 64}, {0, 15}},
    {{1, 63, 2, 2, 64}, {0, 1, 31}},
    {{2, 150, 4, 2, 64}, {0, 3, 70, 149}},
    {{1, 272, 2, 1, 128}, {0, 64, 65, 200}},
    {{1, 205, 3, 3, 192}, {0}},
};

struct Results {
  std::vector<float> out, lse, dqkv;
};

class AttentionTiles : public testing::TestWithParam<std::tuple<AttentionUnit, Case>> {
 protected:
  AttentionShape shape_ = std::get<Case>(GetParam()).shape;
  int64_t N_ = shape_.sequences * shape_.length, Q_ = shape_.heads * shape_.head_size,
          S_ = Q_ + 2 * shape_.kv_heads * shape_.head_size;

  // Random numbers that bf16 can hold.
  static void fill(const Buffer& buffer, uint64_t stream) {
    const Buffer low(DType::bf16, buffer.tensor().shape());
    float* values = buffer.tensor().as<float>();
    for (int64_t i = 0; i < buffer.tensor().elements(); ++i)
      values[i] = random_normal(1, stream, static_cast<uint64_t>(i));
    convert(low.tensor(), buffer.tensor());
    convert(buffer.tensor(), low.tensor());
  }

  std::vector<int32_t> starts() const {
    const std::vector<int32_t>& documents = std::get<Case>(GetParam()).starts;
    std::vector<int32_t> starts;
    for (int64_t n = 0; n < N_; ++n) starts.push_back(*(std::ranges::upper_bound(documents, n % shape_.length) - 1));
    return starts;
  }

  template <class Forward, class Backward>
  Results run(DType type, const Forward& forward, const Backward& backward) const {
    const Buffer wide_qkv(DType::f32, {N_, S_}), wide_dout(DType::f32, {N_, Q_}), wide_out(DType::f32, {N_, Q_});
    const Buffer qkv(type, {N_, S_}), out(type, {N_, Q_}), dout(type, {N_, Q_}), dqkv(type, {N_, S_}),
        lse(DType::f32, {shape_.sequences, shape_.heads, shape_.length});
    fill(wide_qkv, 1), fill(wide_dout, 2);
    convert(qkv.tensor(), wide_qkv.tensor()), convert(dout.tensor(), wide_dout.tensor());
    const std::vector<int32_t> first = starts();
    const ConstTensor ids(first.data(), DType::i32, {N_});
    forward(out.tensor(), lse.tensor(), qkv.tensor(), ids, shape_);
    backward(dqkv.tensor(), dout.tensor(), qkv.tensor(), out.tensor(), lse.tensor(), ids, shape_);
    convert(wide_out.tensor(), out.tensor()), convert(wide_qkv.tensor(), dqkv.tensor());
    const auto values = [](const Buffer& buffer) {
      const float* data = buffer.tensor().as<float>();
      return std::vector<float>(data, data + buffer.tensor().elements());
    };
    return {values(wide_out), values(lse), values(wide_qkv)};
  }

  Results run_in_tiles(AttentionUnit unit) const {
    return run(
        DType::bf16, [&](auto... operands) { attention_forward_in_tiles(unit, operands...); },
        [&](auto... operands) { attention_backward_in_tiles(unit, operands...); });
  }
};

double relative_error(const std::vector<float>& values, const std::vector<float>& wanted) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    error += std::pow(static_cast<double>(values[i]) - static_cast<double>(wanted[i]), 2);
    norm += std::pow(static_cast<double>(wanted[i]), 2);
  }
  return std::sqrt(error / norm);
}

TEST_P(AttentionTiles, AreThoseOfF32WithinBf16sRounding) {
  const AttentionUnit unit = std::get<AttentionUnit>(GetParam());
  if (unit == AttentionUnit::amx ? !has_products(ProductKernels::amx) : !use_avx512_bf16())
    GTEST_SKIP() << "not on this processor";
  const Results wanted = run(DType::f32, attention_forward, attention_backward);
  const Results made = run_in_tiles(unit), again = run_in_tiles(unit);
  // Of 2^-9 at a rounding of p, ds and the result.
  EXPECT_LT(relative_error(made.out, wanted.out), 0.005);
  EXPECT_LT(relative_error(made.dqkv, wanted.dqkv), 0.01);
  for (size_t i = 0; i < wanted.lse.size(); ++i) ASSERT_NEAR(made.lse[i], wanted.lse[i], 1e-4) << i;
  EXPECT_EQ(made.out, again.out) << "the same bits";
  EXPECT_EQ(made.dqkv, again.dqkv) << "the same bits";
}

std::string name_of(const testing::TestParamInfo<AttentionTiles::ParamType>& info) {
  static constexpr const char* kUnits[] = {"avx512", "amx", "plain"};
  return kUnits[static_cast<int>(std::get<0>(info.param))] + std::to_string(info.index % std::size(kCases));
}

INSTANTIATE_TEST_SUITE_P(Units, AttentionTiles,
                         testing::Combine(testing::Values(AttentionUnit::avx512, AttentionUnit::plain,
                                                          AttentionUnit::amx),
                                          testing::ValuesIn(kCases)),
                         name_of);

}  // namespace
}  // namespace starling

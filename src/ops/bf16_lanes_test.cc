// Operators on rows of bf16 that are whole lanes and some more, against the same in f32 and against their formulas.
#include "ops/bf16_lanes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include "core/random.h"
#include "ops/elementwise.h"
#include "ops/linear_cross_entropy.h"
#include "ops/rope.h"
#include "ops/swiglu.h"
#include "tensor/buffer.h"

namespace starling {
namespace {

// Normal numbers that bf16 holds, among them far ones.
std::vector<float> numbers(int64_t count, uint64_t stream, float deviation = 1.0f) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    const float far = i % 29 == 3 ? 60.0f : i % 31 == 7 ? 8.0f : 1.0f;
    values[i] = to_float(to_bf16(deviation * far * random_normal(1, stream, i)));
  }
  return values;
}

Buffer buffer_of(DType type, const Shape& shape, std::vector<float> values) {
  Buffer buffer(type, shape);
  convert(buffer.tensor(), ConstTensor{values.data(), DType::f32, shape});
  return buffer;
}

std::vector<float> values_of(ConstTensor tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.elements()));
  convert({values.data(), DType::f32, tensor.shape()}, tensor);
  return values;
}

// One rounding of 2^-8 to bf16, and far below 1 what functions of f32 differ by.
void expect_rounded(const std::vector<float>& low, const std::vector<float>& exact) {
  ASSERT_EQ(low.size(), exact.size());
  for (size_t i = 0; i < low.size(); ++i) ASSERT_NEAR(low[i], exact[i], std::abs(exact[i]) * 0x1.02p-8f + 1e-6f) << i;
}

void expect_same_in_bf16(const std::function<std::vector<float>(DType)>& run) {
  expect_rounded(run(DType::bf16), run(DType::f32));
}

TEST(Bf16Lanes, SwigluIsThatInF32Rounded) {
  constexpr int64_t N = 5, F = 71;
  expect_same_in_bf16([&](DType type) {
    const Buffer x = buffer_of(type, {N, 2 * F}, numbers(N * 2 * F, 1)), y(type, {N, F});
    swiglu_forward(y.tensor(), x.tensor());
    return values_of(y.tensor());
  });
  expect_same_in_bf16([&](DType type) {
    const Buffer x = buffer_of(type, {N, 2 * F}, numbers(N * 2 * F, 1)), dx(type, {N, 2 * F}),
                 dy = buffer_of(type, {N, F}, numbers(N * F, 2));
    swiglu_backward(dx.tensor(), dy.tensor(), x.tensor());
    return values_of(dx.tensor());
  });
}

TEST(Bf16Lanes, ANotANumberStaysOneInSwiglu) {
  std::vector<float> gate_up(64, 1.0f);
  gate_up[5] = std::nanf("");
  const Buffer x = buffer_of(DType::bf16, {1, 64}, gate_up), y(DType::bf16, {1, 32});
  swiglu_forward(y.tensor(), x.tensor());
  const std::vector<float> values = values_of(y.tensor());
  for (size_t f = 0; f < values.size(); ++f) EXPECT_EQ(std::isnan(values[f]), f == 5);
}

TEST(Bf16Lanes, RopeIsThatInF32Rounded) {
  constexpr int64_t N = 6, D = 76;  // pairs: two times sixteen and six
  std::vector<double> frequencies;
  for (int64_t i = 0; i < D / 2; ++i) frequencies.push_back(std::pow(100.0, -static_cast<double>(i) / D));
  const Buffer table(DType::f32, {8, D});
  rope_fill_table(table.tensor(), frequencies, 1.0);
  std::vector<int32_t> positions = {0, 1, 2, 0, 7, 3};
  const ConstTensor places{positions.data(), DType::i32, {N}};
  for (const auto turn : {rope_forward, rope_backward})
    expect_same_in_bf16([&](DType type) {
      const Buffer x = buffer_of(type, {N, 3 * D}, numbers(N * 3 * D, 3));
      turn(x.tensor(), table.tensor(), places, 2);
      return values_of(x.tensor());
    });
}

// Logits are large: some exponentials of a row are below what f32 holds.
TEST(Bf16Lanes, CrossEntropyAndItsGradientsEqualTheirFormulas) {
  constexpr int64_t N = 5, C = 4, V = 53;
  const std::vector<float> hidden = numbers(N * C, 4, 2), weight = numbers(V * C, 5);
  std::vector<int32_t> targets = {0, 52, -1, 17, 3};
  std::array<std::array<double, V>, N> p;
  std::vector<double> nats(N), dhidden(N * C), scale(N);  // scale: of the terms of dhidden
  for (size_t n = 0; n < N; ++n) {
    for (size_t v = 0; v < V; ++v) {
      p[n][v] = 0;
      for (size_t c = 0; c < C; ++c) p[n][v] += static_cast<double>(hidden[n * C + c] * weight[v * C + c]);
    }
    const double largest = *std::max_element(p[n].begin(), p[n].end());
    double sum = 0;
    for (const double logit : p[n]) sum += std::exp(logit - largest);
    const double normaliser = largest + std::log(sum);
    if (targets[n] < 0) continue;
    nats[n] = normaliser - p[n][static_cast<size_t>(targets[n])];
    for (size_t v = 0; v < V; ++v) {
      const double gradient = std::exp(p[n][v] - normaliser) - (static_cast<int32_t>(v) == targets[n] ? 1.0 : 0.0);
      for (size_t c = 0; c < C; ++c) {
        const double term = gradient * static_cast<double>(weight[v * C + c]);
        dhidden[n * C + c] += term, scale[n] += std::abs(term);
      }
    }
  }
  const ConstTensor wanted_ids{targets.data(), DType::i32, {N}};
  for (const DType type : {DType::f32, DType::bf16}) {
    SCOPED_TRACE(name_of(type));
    const LogitChunk chunk(V, type, N, Device::cpu);
    const Buffer x = buffer_of(type, {N, C}, hidden), w = buffer_of(type, {V, C}, weight), dx(type, {N, C}),
                 loss(DType::f32, {N});
    linear_cross_entropy_train(loss.tensor(), dx.tensor(), {}, x.tensor(), w.tensor(), wanted_ids, {.scale = 1}, chunk);
    const std::vector<float> got = values_of(loss.tensor()), gradients = values_of(dx.tensor());
    for (size_t n = 0; n < N; ++n) {
      EXPECT_NEAR(got[n], nats[n], 1e-5 * (1 + nats[n])) << n;
      for (size_t c = 0; c < C; ++c)
        EXPECT_NEAR(gradients[n * C + c], dhidden[n * C + c], scale[n] * (type == DType::bf16 ? 0x1p-8 : 1e-5))
            << n << " " << c;
    }
  }
}

STARLING_AVX512_BF16 void powers(float* x) { _mm512_storeu_ps(x, power_of_two(_mm512_loadu_ps(x))); }

TEST(Bf16Lanes, PowersOfTwoAreWithinTwoTenMillionths) {
  if (!use_avx512_bf16()) GTEST_SKIP() << "needs AVX-512's bf16";
  std::array<float, kLanes> x;
  for (float first = -125; first < 127; first += 0.37f) {
    for (size_t i = 0; i < x.size(); ++i) x[i] = first + 0.021f * static_cast<float>(i);
    const std::array<float, kLanes> exponents = x;
    powers(x.data());
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_NEAR(x[i] / std::exp2(static_cast<double>(exponents[i])), 1.0, 2e-7) << exponents[i];
  }
  x = {-1000.0f, std::nanf(""), 0.0f};
  powers(x.data());
  EXPECT_EQ(x[0], 0.0f);
  EXPECT_TRUE(std::isnan(x[1]));
  EXPECT_EQ(x[2], 1.0f);
}

}  // namespace
}  // namespace starling

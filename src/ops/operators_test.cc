// The operators of training against their formulas, written plainly, and their gradients against finite differences, on
// each device that is there.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include "core/error.h"
#include "core/random.h"
#include "ops/adamw.h"
#include "ops/attention.h"
#include "ops/bias.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/gradient_check.h"
#include "ops/linear.h"
#include "ops/linear_cross_entropy.h"
#include "ops/muon.h"
#include "ops/rmsnorm.h"
#include "ops/rope.h"
#include "ops/swiglu.h"
#include "ops/vector_math.h"
#include "tensor/buffer.h"
#include "tensor/device.h"

namespace starling {
namespace {

// Skips on a machine without the device.
class OnEachDevice : public testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    try {
      find_device(name_of(GetParam()));
    } catch (const DeviceError& error) {
      GTEST_SKIP() << error.what();
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Operators, OnEachDevice, testing::Values(Device::cpu, Device::cuda),
                         [](const auto& device) { return std::string(name_of(device.param)); });

// Numbers of the test on its device, for the length of the expression that it stands in: then they come back.
class Placed : public Tensor {
 public:
  Placed(Tensor host, Device device) : Tensor(host), host_(host) {
    if (device == Device::cpu) return;
    buffer_ = Buffer(host.dtype(), host.shape(), device);
    static_cast<Tensor&>(*this) = buffer_.tensor();
    copy(*this, host);
  }
  ~Placed() noexcept(false) {
    if (device() != Device::cpu) copy(host_, *this);
  }
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;

 private:
  Tensor host_;
  Buffer buffer_;
};

// A tensor with memory of its own, filled with normal numbers.
struct Numbers {
  Numbers(Shape shape, uint64_t stream, float deviation = 1.0f)
      : values(static_cast<size_t>(shape.elements())), shape(shape) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = stream == 0 ? 0.0f : deviation * random_normal(1, stream, i);
  }
  Tensor host() { return {values.data(), DType::f32, shape}; }
  Placed on(Device device) { return {host(), device}; }
  float& operator()(int64_t row, int64_t column) { return values[static_cast<size_t>(row * shape[1] + column)]; }
  std::vector<float> values;
  Shape shape;
};

Placed ids(std::vector<int32_t>& values, Device device) {
  return {{values.data(), DType::i32, {static_cast<int64_t>(values.size())}}, device};
}

void expect_gradient(std::vector<float>& x, const std::vector<float>& gradient, const std::function<double()>& f,
                     const char* what) {
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(central_difference(x, i, f), static_cast<double>(gradient[i]),
                0.01 * (1.0 + std::abs(static_cast<double>(gradient[i]))))
        << what << " " << i;
}

void check_products(Device device, const std::array<int64_t, 3>& extents) {
  const auto [M, N, K] = extents;
  Numbers a({M, K}, 1), at({K, M}, 0), b({K, N}, 2), bt({N, K}, 0), c({M, N}, 3), wanted({M, N}, 3);
  for (int64_t m = 0; m < M; ++m)
    for (int64_t k = 0; k < K; ++k) at(k, m) = a(m, k);
  for (int64_t k = 0; k < K; ++k)
    for (int64_t n = 0; n < N; ++n) bt(n, k) = b(k, n);
  for (int64_t m = 0; m < M; ++m)
    for (int64_t n = 0; n < N; ++n) {
      double sum = static_cast<double>(wanted(m, n));
      for (int64_t k = 0; k < K; ++k) sum += static_cast<double>(a(m, k)) * static_cast<double>(b(k, n));
      wanted(m, n) = static_cast<float>(sum);
    }
  const std::vector<float> start = c.values;
  const auto run = [&](ConstMatrix left, ConstMatrix right, double tolerance) {
    c.values = start;
    matmul(as_matrix(c.on(device)), left, right, Accumulate::yes);
    for (size_t i = 0; i < c.values.size(); ++i) ASSERT_NEAR(c.values[i], wanted.values[i], tolerance) << i;
  };
  const double root = std::sqrt(static_cast<double>(K));
  run(as_matrix(a.on(device)), as_matrix(b.on(device)), 1e-5 * root);
  run(transposed(as_matrix(at.on(device))), as_matrix(b.on(device)), 1e-5 * root);
  run(as_matrix(a.on(device)), transposed(as_matrix(bt.on(device))), 1e-5 * root);
  const Buffer low_a(DType::bf16, a.shape, device), low_b(DType::bf16, b.shape, device);
  convert(low_a.tensor(), a.on(device));
  convert(low_b.tensor(), b.on(device));
  run(as_matrix(low_a.tensor()), as_matrix(low_b.tensor()), 0.03 * root);  // two roundings of 2^-9 a term
}

TEST_P(OnEachDevice, ProductsEqualTheSumsInEachLayoutAndType) {
  for (const std::array<int64_t, 3>& extents :
       {std::array<int64_t, 3>{1, 1, 1}, {3, 5, 7}, {64, 48, 32}, {200, 33, 65}, {256, 384, 128}}) {
    SCOPED_TRACE(testing::Message() << extents[0] << " x " << extents[1] << " x " << extents[2]);
    check_products(GetParam(), extents);
  }
}

TEST(Matmul, RefusesShapesThatDoNotFit) {
  Numbers a({2, 3}, 1), b({4, 2}, 2), c({2, 2}, 3);
  EXPECT_THROW(matmul(as_matrix(c.host()), as_matrix(a.host()), as_matrix(b.host())), ShapeError);
}

TEST(Bf16, RoundsToTheNearestEvenAndKeepsSpecialValues) {
  EXPECT_EQ(to_float(to_bf16(1.0f)), 1.0f);
  EXPECT_EQ(to_float(to_bf16(1.00390625f)), 1.0f);       // half way: to the even neighbour
  EXPECT_EQ(to_float(to_bf16(1.01171875f)), 1.015625f);  // half way: to the even neighbour above
  EXPECT_TRUE(std::isnan(to_float(to_bf16(std::nanf("")))));
  EXPECT_EQ(to_float(to_bf16(-INFINITY)), -INFINITY);
}

TEST(FastExp, IsWithinThreeTenMillionthsOfTheExponential) {
  for (float x = -86.0f; x < 87.5f; x += 0.013f)
    EXPECT_NEAR(fast_exp(x) / std::exp(static_cast<double>(x)), 1.0, 3e-7) << x;
  EXPECT_EQ(fast_exp(-1000.0f), 0.0f);
  EXPECT_TRUE(std::isnan(fast_exp(std::nanf(""))));
}

TEST_P(OnEachDevice, RmsNormDividesARowByItsRootMeanSquare) {  // row {3,4}: rms = sqrt(12.5)
  const Device device = GetParam();
  Numbers x({1, 2}, 0), y({1, 2}, 0), rstd({1}, 0), w({2}, 0);
  x.values = {3, 4}, w.values = {1, 2};
  rmsnorm_forward(y.on(device), rstd.on(device), x.on(device), w.on(device), 1e-12f);
  EXPECT_NEAR(y.values[0], 0.848528f, 1e-6f);
  EXPECT_NEAR(y.values[1], 2 * 1.131371f, 1e-6f);
}

TEST_P(OnEachDevice, RmsNormGradientsMatchFiniteDifferencesAndAdd) {
  const Device device = GetParam();
  Numbers x({5, 8}, 1), y({5, 8}, 0), rstd({5}, 0), w({8}, 2), dy({5, 8}, 3), dx({5, 8}, 0), dw({8}, 0);
  const auto loss = [&] {
    rmsnorm_forward(y.on(device), rstd.on(device), x.on(device), w.on(device), 1e-5f);
    return dot(y.values, dy.values);
  };
  loss();
  rmsnorm_backward(dx.on(device), dw.on(device), dy.on(device), x.on(device), w.on(device), rstd.on(device));
  expect_gradient(x.values, dx.values, loss, "dx");
  expect_gradient(w.values, dw.values, loss, "dw");
  const std::vector<float> once = dx.values;
  loss();
  rmsnorm_backward(dx.on(device), dw.on(device), dy.on(device), x.on(device), w.on(device), rstd.on(device));
  for (size_t i = 0; i < once.size(); ++i) EXPECT_NEAR(dx.values[i], 2 * once[i], 1e-5f);
}

TEST_P(OnEachDevice, RopeTurnsPairsByTheAngleOfTheirPositionAndBack) {
  const Device device = GetParam();
  Numbers table({4, 4}, 0), x({2, 8}, 1);
  rope_fill_table(table.host(), std::vector<double>{1.0, 0.1});
  std::vector<int32_t> positions = {0, 3};
  const std::vector<float> before = x.values;
  rope_forward(x.on(device), table.on(device), ids(positions, device), 1);
  for (int64_t c = 0; c < 8; ++c) EXPECT_EQ(x(0, c), before[static_cast<size_t>(c)]);  // position 0
  const float angle = 3.0f / 10.0f;                                                    // pair 1 at position 3
  EXPECT_NEAR(x(1, 1), before[9] * std::cos(angle) - before[11] * std::sin(angle), 1e-6f);
  EXPECT_NEAR(x(1, 3), before[11] * std::cos(angle) + before[9] * std::sin(angle), 1e-6f);
  for (int64_t c = 4; c < 8; ++c) EXPECT_EQ(x(1, c), before[static_cast<size_t>(8 + c)]);  // beyond the rotated head
  rope_backward(x.on(device), table.on(device), ids(positions, device), 1);  // a rotation's gradient is its inverse
  for (size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(x.values[i], before[i], 1e-6f);
  positions[1] = 4;
  EXPECT_THROW(rope_forward(x.on(device), table.on(device), ids(positions, device), 1), ShapeError);
}

TEST_P(OnEachDevice, SwiGluEqualsItsFormulaAndItsGradientsFiniteDifferences) {
  const Device device = GetParam();
  Numbers x({3, 10}, 1), y({3, 5}, 0), dy({3, 5}, 2), dx({3, 10}, 0);
  const auto loss = [&] {
    swiglu_forward(y.on(device), x.on(device));
    return dot(y.values, dy.values);
  };
  loss();
  EXPECT_NEAR(y(1, 2), x(1, 2) / (1 + std::exp(-x(1, 2))) * x(1, 7), 1e-6f);
  swiglu_backward(dx.on(device), dy.on(device), x.on(device));
  expect_gradient(x.values, dx.values, loss, "dgate_up");
}

TEST_P(OnEachDevice, AddAddsInPlace) {
  Numbers x({3, 10}, 1), y({3, 10}, 2);
  const std::vector<float> before = y.values;
  add(y.on(GetParam()), x.on(GetParam()));
  for (size_t i = 0; i < before.size(); ++i) EXPECT_EQ(y.values[i], before[i] + x.values[i]);
}

TEST(OnTheCpu, GeluGatesEqualTheirFormulaAndTheirGradientsFiniteDifferences) {
  Numbers x({3, 10}, 1), y({3, 5}, 0), dy({3, 5}, 2), dx({3, 10}, 0);
  const auto loss = [&] {
    swiglu_forward(y.host(), x.host(), Gate::gelu);
    return dot(y.values, dy.values);
  };
  loss();
  const double g = x(1, 2), u = std::sqrt(2 / std::numbers::pi) * (g + 0.044715 * g * g * g);
  EXPECT_NEAR(y(1, 2), g / 2 * (1 + std::tanh(u)) * static_cast<double>(x(1, 7)), 1e-6);
  swiglu_backward(dx.host(), dy.host(), x.host(), Gate::gelu);
  expect_gradient(x.values, dx.values, loss, "dgate_up");
}

TEST_P(OnEachDevice, EmbeddingGathersRowsAndAddsTheirGradients) {
  const Device device = GetParam();
  Numbers table({4, 3}, 1), y({3, 3}, 0), dtable({4, 3}, 0), dy({3, 3}, 2);
  std::vector<int32_t> tokens = {2, 0, 2};
  embedding_forward(y.on(device), ids(tokens, device), table.on(device));
  embedding_backward(dtable.on(device), ids(tokens, device), dy.on(device));
  for (int64_t c = 0; c < 3; ++c) {
    EXPECT_EQ(y(0, c), table(2, c));
    EXPECT_EQ(dtable(2, c), dy(0, c) + dy(2, c));
    EXPECT_EQ(dtable(1, c), 0.0f);
  }
  tokens[1] = 4;
  EXPECT_THROW(embedding_forward(y.on(device), ids(tokens, device), table.on(device)), DataError);
}

// Attention over more rows than one block, with grouped key heads and documents that start inside blocks.
struct AttentionCase {
  Device device;
  AttentionShape shape{2, 150, 4, 2, 6};
  Numbers qkv{{300, 48}, 1}, out{{300, 24}, 0}, lse{{2, 4, 150}, 0};
  std::vector<int32_t> starts;
  explicit AttentionCase(Device where) : device(where) {
    for (int64_t n = 0; n < 300; ++n) {
      const int64_t t = n % 150;
      starts.push_back(n < 150 ? (t < 3 ? 0 : t < 70 ? 3 : t < 149 ? 70 : 149) : 0);
    }
  }
  void forward() { attention_forward(out.on(device), lse.on(device), qkv.on(device), ids(starts, device), shape); }
};

std::vector<double> plain_attention(AttentionCase& c, int64_t row, int64_t head) {
  const int64_t D = 6, first = row / 150 * 150 + c.starts[static_cast<size_t>(row)], kv = head / 2;
  std::vector<double> out(6), p;
  double sum = 0;
  for (int64_t s = first; s <= row; ++s) {
    double score = 0;
    for (int64_t d = 0; d < D; ++d)
      score += static_cast<double>(c.qkv(row, head * D + d)) * static_cast<double>(c.qkv(s, (4 + kv) * D + d));
    score /= std::sqrt(6.0);
    if (const double cap = c.shape.cap; cap > 0) score = cap * std::tanh(score / cap);
    sum += p.emplace_back(std::exp(score));
  }
  for (int64_t s = first; s <= row; ++s)
    for (int64_t d = 0; d < D; ++d)
      out[static_cast<size_t>(d)] +=
          p[static_cast<size_t>(s - first)] / sum * static_cast<double>(c.qkv(s, (6 + kv) * D + d));
  return out;
}

void expect_plain_attention(AttentionCase& c) {
  c.forward();
  for (int64_t row = 0; row < 300; ++row)
    for (int64_t head = 0; head < 4; ++head) {
      const std::vector<double> wanted = plain_attention(c, row, head);
      for (int64_t d = 0; d < 6; ++d)
        ASSERT_NEAR(c.out(row, head * 6 + d), wanted[static_cast<size_t>(d)], 1e-5) << row << " " << head;
    }
}

void expect_attention_gradients(AttentionCase& c) {
  const Device device = c.device;
  Numbers dout({300, 24}, 5), dqkv({300, 48}, 0);
  c.forward();
  attention_backward(dqkv.on(device), dout.on(device), c.qkv.on(device), c.out.on(device), c.lse.on(device),
                     ids(c.starts, device), c.shape);
  const auto loss = [&] {
    c.forward();
    return dot(c.out.values, dout.values);
  };
  for (uint64_t round = 0; round < 60; ++round) {  // of 14,400 elements
    const size_t i = random_u64(2, 2, round) % c.qkv.values.size();
    const auto wanted = static_cast<double>(dqkv.values[i]);
    EXPECT_NEAR(central_difference(c.qkv.values, i, loss), wanted, 0.01 * (1 + std::abs(wanted))) << i;
  }
}

TEST_P(OnEachDevice, AttentionEqualsThePlainFormulaInsideDocuments) {
  AttentionCase c(GetParam());
  expect_plain_attention(c);
}

TEST_P(OnEachDevice, AttentionGradientsMatchFiniteDifferences) {
  AttentionCase c(GetParam());
  expect_attention_gradients(c);
}

TEST(OnTheCpu, CappedAttentionEqualsThePlainFormulaAndItsGradientsFiniteDifferences) {
  AttentionCase c(Device::cpu);
  c.shape.cap = 0.8f;  // below many scores
  expect_plain_attention(c);
  expect_attention_gradients(c);
}

// bf16 with heads of 64 and 128 takes the tensor cores on a GPU. Each operand is rounded to 2^-9 of its value, p and ds
// once more; errors of a sum add like a random walk.
TEST_P(OnEachDevice, AttentionInBf16IsThatInF32WithinItsRounding) {
  for (const int64_t D : {64, 128, 24}) {
    SCOPED_TRACE(D);
    const AttentionShape shape{2, 150, 4, 2, D};
    const int64_t N = 300;
    std::vector<int32_t> starts = AttentionCase(Device::cpu).starts;
    const auto run = [&](Device device, DType type) {
      Numbers qkv({N, 8 * D}, 1), dout({N, 4 * D}, 5);
      std::array<std::vector<float>, 2> results;  // out, dqkv
      const Buffer x(type, qkv.shape, device), out(type, dout.shape, device), dy(type, dout.shape, device),
          dx(type, qkv.shape, device), lse(DType::f32, {2, 4, 150}, device);
      // Both start from what bf16 can hold.
      const Buffer low_qkv(DType::bf16, qkv.shape), low_dout(DType::bf16, dout.shape);
      convert(low_qkv.tensor(), qkv.host()), convert(low_dout.tensor(), dout.host());
      convert(qkv.host(), low_qkv.tensor()), convert(dout.host(), low_dout.tensor());
      convert(x.tensor(), qkv.on(device)), convert(dy.tensor(), dout.on(device));
      attention_forward(out.tensor(), lse.tensor(), x.tensor(), ids(starts, device), shape);
      attention_backward(dx.tensor(), dy.tensor(), x.tensor(), out.tensor(), lse.tensor(), ids(starts, device), shape);
      convert(dout.on(device), out.tensor()), convert(qkv.on(device), dx.tensor());
      results = {dout.values, qkv.values};
      return results;
    };
    const auto exact = run(Device::cpu, DType::f32), low = run(GetParam(), DType::bf16),
               again = run(GetParam(), DType::bf16);
    for (size_t which : {0, 1}) {
      double error = 0, norm = 0;
      for (size_t i = 0; i < exact[which].size(); ++i) {
        const double wanted = static_cast<double>(exact[which][i]);
        error += std::pow(static_cast<double>(low[which][i]) - wanted, 2), norm += wanted * wanted;
      }
      EXPECT_LT(std::sqrt(error / norm), 0.01) << (which == 0 ? "out" : "dqkv");
      EXPECT_EQ(low[which], again[which]) << "the same bits";
    }
  }
}

TEST_P(OnEachDevice, AttentionRefusesDocumentsThatStartAfterTheirRow) {
  const Device device = GetParam();
  AttentionCase c(device);
  c.starts[10] = 11;
  EXPECT_THROW(c.forward(), ShapeError);
}

TEST_P(OnEachDevice, LinearCrossEntropyLossAndGradientsMatchFormulaAndFiniteDifferencesAcrossChunks) {
  const Device device = GetParam();
  Numbers hidden({7, 4}, 1), weight({9, 4}, 2), nats({7}, 0), dhidden({7, 4}, 0), dweight({9, 4}, 0);
  std::vector<int32_t> targets = {0, 3, -1, 8, 2, 2, 5};
  const LogitChunk chunk(9, DType::f32, 3, device);
  const auto loss = [&] {
    linear_cross_entropy_forward(nats.on(device), hidden.on(device), weight.on(device), ids(targets, device), chunk);
    double sum = 0;
    for (float value : nats.values) sum += static_cast<double>(value);
    return sum * 0.5;
  };
  const double before = loss();
  EXPECT_EQ(nats.values[2], 0.0f);
  double sum = 0, wanted = 0;
  for (int64_t v = 0; v < 9; ++v) {
    double logit = 0;
    for (int64_t c = 0; c < 4; ++c) logit += static_cast<double>(hidden(1, c)) * static_cast<double>(weight(v, c));
    sum += std::exp(logit);
    if (v == 3) wanted = logit;
  }
  EXPECT_NEAR(nats.values[1], std::log(sum) - wanted, 1e-5);
  linear_cross_entropy_train(nats.on(device), dhidden.on(device), dweight.on(device), hidden.on(device),
                             weight.on(device), ids(targets, device), {.scale = 0.5f}, chunk);
  EXPECT_NEAR(loss(), before, 1e-6);
  expect_gradient(hidden.values, dhidden.values, loss, "dhidden");
  expect_gradient(weight.values, dweight.values, loss, "dweight");
}

TEST_P(OnEachDevice, LinearCrossEntropyZLossAddsTheSquareOfTheLogNormaliserToLossAndGradient) {
  const Device device = GetParam();
  Numbers hidden({3, 4}, 1), weight({5, 4}, 2), nats({3}, 0), dhidden({3, 4}, 0), none({5, 4}, 0);
  std::vector<int32_t> targets = {0, -1, 4};
  const LogitChunk chunk(5, DType::f32, 2, device);
  constexpr double kZ = 0.3;
  const auto loss = [&] {
    double total = 0;
    for (int64_t n : {0, 2}) {
      double sum = 0, wanted = 0;
      for (int64_t v = 0; v < 5; ++v) {
        double logit = 0;
        for (int64_t c = 0; c < 4; ++c) logit += static_cast<double>(hidden(n, c)) * static_cast<double>(weight(v, c));
        sum += std::exp(logit);
        if (v == targets[static_cast<size_t>(n)]) wanted = logit;
      }
      total += std::log(sum) - wanted + kZ * std::log(sum) * std::log(sum);
    }
    return total * 0.5;
  };
  linear_cross_entropy_train(nats.on(device), dhidden.on(device), {}, hidden.on(device), weight.on(device),
                             ids(targets, device), {.scale = 0.5f, .z_loss = static_cast<float>(kZ)},
                             chunk);  // a head that is not trained
  expect_gradient(hidden.values, dhidden.values, loss, "dhidden");
  Numbers dweight({5, 4}, 0);
  linear_cross_entropy_train(nats.on(device), dhidden.on(device), dweight.on(device), hidden.on(device),
                             weight.on(device), ids(targets, device), {.scale = 0.5f, .z_loss = static_cast<float>(kZ)},
                             chunk);
  expect_gradient(weight.values, dweight.values, loss, "dweight");
}

TEST_P(OnEachDevice, BiasIsAddedToEveryRowAndItsGradientIsTheSumOfRows) {
  const Device device = GetParam();
  Numbers y({3, 2}, 1), bias({2}, 2), dbias({2}, 3);
  const std::vector<float> before = y.values, old = dbias.values;
  bias_forward(y.on(device), bias.on(device));
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(y.values[i], before[i] + bias.values[i % 2]);
  bias_backward(dbias.on(device), y.on(device));
  for (size_t o = 0; o < 2; ++o)
    EXPECT_NEAR(dbias.values[o], old[o] + y.values[o] + y.values[2 + o] + y.values[4 + o], 1e-5f);
  EXPECT_THROW(bias_forward(y.on(device), y.on(device)), ShapeError);
}

TEST_P(OnEachDevice, AdamWFollowsItsFormulaForTwoSteps) {
  const Device device = GetParam();
  Numbers w({1}, 0), m({1}, 0), v({1}, 0), g({1}, 0);
  w.values = {1.0f}, g.values = {0.5f};
  double dw = 1, dm = 0, dv = 0;
  for (int64_t step = 1; step <= 2; ++step) {
    adamw_step(w.on(device), m.on(device), v.on(device), g.on(device),
               {.learning_rate = 0.1f, .weight_decay = 0.2f, .gradient_scale = 0.5f, .step = step});
    dm = 0.9 * dm + 0.1 * 0.25, dv = 0.95 * dv + 0.05 * 0.0625;
    const double t = static_cast<double>(step);
    dw -= 0.1 * (dm / (1 - std::pow(0.9, t)) / (std::sqrt(dv / (1 - std::pow(0.95, t))) + 1e-8) + 0.2 * dw);
  }
  EXPECT_NEAR(w.values[0], dw, 1e-6);
}

// All singular values of U come within 0.05 of 1, so U U^T is near the identity; bf16 rounds.
TEST_P(OnEachDevice, MuonNewtonSchulzMakesAMatrixNearlyOrthogonal) {
  const Device device = GetParam();
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{12, 40}, {40, 12}, {130, 300}, {300, 130}}) {
    Numbers x({rows, columns}, 4);
    newton_schulz(x.on(device));
    const int64_t side = std::min(rows, columns), other = std::max(rows, columns);
    for (int64_t i = 0; i < side; ++i)
      for (int64_t j = 0; j <= i; ++j) {
        double sum = 0;
        for (int64_t k = 0; k < other; ++k)
          sum += static_cast<double>(rows < columns ? x(i, k) * x(j, k) : x(k, i) * x(k, j));
        EXPECT_NEAR(sum, i == j ? 1.0 : 0.0, 0.15) << rows << " x " << columns;
      }
  }
}

// The largest singular value that the scale allows, where the first polynomial is steepest.
TEST_P(OnEachDevice, MuonNewtonSchulzKeepsAMatrixOfRankOne) {
  const Device device = GetParam();
  Numbers x({100, 60}, 0);
  for (int64_t i = 0; i < 100; ++i)
    for (int64_t j = 0; j < 60; ++j)
      x.values[static_cast<size_t>(i * 60 + j)] =
          std::sin(1.0f + static_cast<float>(i)) * std::cos(static_cast<float>(j));
  newton_schulz(x.on(device));
  EXPECT_NEAR(std::sqrt(sum_of_squares(x.on(device))), 1.0, 0.06);
}

TEST_P(OnEachDevice, MuonStepMovesByTheLearningRateAndDecays) {
  const Device device = GetParam();
  Numbers w({8, 8}, 1), m({8, 8}, 0), g({8, 8}, 2);
  const std::vector<float> before = w.values;
  const auto step = [](const MuonMatrix& matrix) {
    muon_step({&matrix, 1}, {.learning_rate = 0.1f, .weight_decay = 0.5f});
  };
  step({w.on(device), m.on(device), g.on(device)});
  double squares = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    const double update = (static_cast<double>(before[i]) * 0.95 - static_cast<double>(w.values[i])) / 0.1;
    squares += update * update / static_cast<double>(before.size());
    EXPECT_EQ(m.values[i], g.values[i]);
  }
  EXPECT_NEAR(std::sqrt(squares), 0.2,
              0.02);  // the root mean square of AdamW's update; singular values are within 0.05 of 1
}

TEST_P(OnEachDevice, MuonStepWithoutAGradientOnlyDecays) {
  const Device device = GetParam();
  Numbers w({8, 12}, 1), m({8, 12}, 0), g({8, 12}, 0);
  const std::vector<float> before = w.values;
  const MuonMatrix matrix{w.on(device), m.on(device), g.on(device)};
  muon_step({&matrix, 1}, {.learning_rate = 0.1f, .weight_decay = 0.5f});
  for (size_t i = 0; i < before.size(); ++i) EXPECT_FLOAT_EQ(w.values[i], before[i] * 0.95f);
}

TEST_P(OnEachDevice, SumOfSquaresAddsOverAllRanges) {
  const Device device = GetParam();
  Numbers x({10'001}, 0);
  std::fill(x.values.begin(), x.values.end(), 0.5f);
  EXPECT_DOUBLE_EQ(sum_of_squares(x.on(device)), 2500.25);
}

}  // namespace
}  // namespace starling

#include "model/transformer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/random.h"

namespace starling {
namespace {

ModelConfig tiny_config(bool tied) {
  ModelConfig c;
  c.vocab_size = 29, c.hidden_size = 16, c.intermediate_size = 24, c.num_layers = 2, c.num_heads = 4,
  c.num_kv_heads = 2;
  c.max_positions = 80, c.tied_head = tied;
  return c;
}

// Two sequences, the first of two documents; every fifth target is not scored.
Batch two_sequences(const ModelConfig& c, int64_t length, uint64_t seed) {
  Batch b{2, length, {}, {}, {}, {}};
  for (int64_t i = 0; i < b.size(); ++i) {
    const int64_t place = i % length, start = i < length && place >= length / 3 ? length / 3 : 0;
    b.tokens.push_back(
        static_cast<int32_t>(random_u64(seed, 1, static_cast<uint64_t>(i)) % static_cast<uint64_t>(c.vocab_size)));
    b.targets.push_back(i % 5 == 4 ? -1
                                   : static_cast<int32_t>(random_u64(seed, 2, static_cast<uint64_t>(i)) %
                                                          static_cast<uint64_t>(c.vocab_size)));
    b.positions.push_back(static_cast<int32_t>(place - start));
    b.document_starts.push_back(static_cast<int32_t>(start));
  }
  return b;
}

// Weights large enough that every part of the model matters to the loss.
void randomize(Parameters& parameters, uint64_t seed) {
  for (size_t p = 0; p < parameters.list().size(); ++p) {
    float* values = parameters.value(p).as<float>();
    const bool matrix = parameters.list()[p].is_matrix();
    for (int64_t i = 0; i < parameters.list()[p].elements; ++i)
      values[i] = (matrix ? 0.0f : 1.0f) + 0.3f * random_normal(seed, p, static_cast<uint64_t>(i));
  }
  parameters.refresh_compute();
}

double total_nats(Transformer& model, const Batch& batch) {
  double total = 0;
  for (float nats : model.score(batch)) total += static_cast<double>(nats);
  return total;
}

class Gradients : public testing::TestWithParam<bool> {};

// Central differences in f32 along a random direction per parameter: d loss ~ (L(w + h u) - L(w - h u)) / 2h = g . u.
// With h = 1e-3 / |u|_max the rounding of a loss near 100 (1e-5) over 2e-3 and the h^2 term both stay under 1 %.
TEST_P(Gradients, OfEveryParameterMatchFiniteDifferences) {
  const ModelConfig config = tiny_config(GetParam());
  const Batch batch = two_sequences(config, 20, 7);
  Transformer model(config, DType::f32, batch.size());
  Parameters& parameters = model.parameters();
  randomize(parameters, 3);
  parameters.zero_gradients();
  const double loss = model.train(batch, 1.0f);
  EXPECT_NEAR(loss, total_nats(model, batch), 1e-4);
  for (size_t p = 0; p < parameters.list().size(); ++p) {
    float* values = parameters.value(p).as<float>();
    const float* gradient = parameters.gradient(p).as<float>();
    const auto count = static_cast<size_t>(parameters.list()[p].elements);
    const std::vector<float> before(values, values + count);
    double expected = 0, differences[2];
    for (size_t i = 0; i < count; ++i) expected += static_cast<double>(gradient[i]) * (gradient[i] > 0 ? 1 : -1);
    const float h = 0.02f / std::sqrt(static_cast<float>(count));
    for (int side = 0; side < 2; ++side) {
      for (size_t i = 0; i < count; ++i)
        values[i] = before[i] + (side == 0 ? h : -h) * (gradient[i] > 0 ? 1.0f : -1.0f);
      differences[side] = total_nats(model, batch);
    }
    std::copy(before.begin(), before.end(), values);
    const double measured = (differences[0] - differences[1]) / (2.0 * static_cast<double>(h));
    EXPECT_NEAR(measured, expected, 0.01 * expected + 1e-3) << parameters.list()[p].name;
    EXPECT_GT(expected, 0) << parameters.list()[p].name;
  }
}

INSTANTIATE_TEST_SUITE_P(TiedAndUntied, Gradients, testing::Bool());

TEST(Transformer, Bf16LossAndGradientsAreThoseOfF32WithinItsPrecision) {
  const ModelConfig config = tiny_config(true);
  const Batch batch = two_sequences(config, 20, 9);
  Transformer exact(config, DType::f32, batch.size()), low(config, DType::bf16, batch.size());
  for (Transformer* model : {&exact, &low}) {
    model->parameters().initialize(5);
    model->parameters().zero_gradients();
  }
  const double a = exact.train(batch, 0.1f), b = low.train(batch, 0.1f);
  EXPECT_NEAR(a, b, 0.01 * a);  // bf16 keeps 8 bits: 0.4 % a rounding
  const float *x = exact.parameters().gradients().as<float>(), *y = low.parameters().gradients().as<float>();
  double dot = 0, xx = 0, yy = 0;
  for (int64_t i = 0; i < exact.parameters().gradients().elements(); ++i)
    dot += static_cast<double>(x[i] * y[i]), xx += static_cast<double>(x[i] * x[i]),
        yy += static_cast<double>(y[i] * y[i]);
  EXPECT_GT(dot / std::sqrt(xx * yy), 0.999);
  EXPECT_NEAR(std::sqrt(yy / xx), 1.0, 0.02);
}

TEST(Transformer, ADocumentDoesNotSeeTheOnesBeforeItInItsSequence) {
  const ModelConfig config = tiny_config(true);
  Batch batch = two_sequences(config, 20, 11);
  Transformer model(config, DType::f32, batch.size());
  randomize(model.parameters(), 4);
  const std::vector<float> before = model.score(batch);
  batch.tokens[2] = (batch.tokens[2] + 1) % 29;  // in the first document
  const std::vector<float> after = model.score(batch);
  EXPECT_NE(before[3], after[3]);
  for (size_t i = 6; i < before.size(); ++i) EXPECT_EQ(before[i], after[i]) << i;
}

TEST(Transformer, AFutureTokenChangesNoEarlierScore) {
  const ModelConfig config = tiny_config(true);
  Batch batch = two_sequences(config, 80, 12);
  Transformer model(config, DType::f32, batch.size());
  randomize(model.parameters(), 4);
  const std::vector<float> before = model.score(batch);
  batch.tokens[150] = (batch.tokens[150] + 1) % 29;
  const std::vector<float> after = model.score(batch);
  for (size_t i = 0; i < 150; ++i) EXPECT_EQ(before[i], after[i]) << i;
  EXPECT_NE(before[151], after[151]);
}

TEST(Transformer, TwoTrainingPassesGiveTheSameBits) {
  const ModelConfig config = tiny_config(true);
  const Batch batch = two_sequences(config, 20, 13);
  std::vector<float> gradients[2];
  for (auto& list : gradients) {
    Transformer model(config, DType::bf16, batch.size());
    model.parameters().initialize(5);
    model.train(batch, 1.0f);
    const Tensor all = model.parameters().gradients();
    list.assign(all.as<float>(), all.as<float>() + all.elements());
  }
  EXPECT_EQ(std::memcmp(gradients[0].data(), gradients[1].data(), gradients[0].size() * sizeof(float)), 0);
}

TEST(Transformer, ATokenOutsideTheVocabularyIsAnErrorThatNamesIt) {
  const ModelConfig config = tiny_config(true);
  Batch batch = two_sequences(config, 20, 13);
  Transformer model(config, DType::f32, batch.size());
  batch.tokens[5] = 29;
  EXPECT_THROW(model.score(batch), DataError);
  batch.tokens[5] = 0;
  batch.targets[5] = 29;
  EXPECT_THROW(model.score(batch), DataError);
}

TEST(Transformer, ABatchAboveItsSizeIsAShapeError) {
  const ModelConfig config = tiny_config(true);
  Transformer model(config, DType::f32, 39);
  EXPECT_THROW(model.score(two_sequences(config, 20, 1)), ShapeError);
}

}  // namespace
}  // namespace starling

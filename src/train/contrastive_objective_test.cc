#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "train/finite_differences.h"
#include "train/info_nce.h"
#include "train/objectives.h"

namespace starling {
namespace {

// Central differences of the loss in double: h = 1e-3 leaves an error of h^2. Pairs 1 and 2 are of one group.
TEST(InfoNce, GradientsMatchFiniteDifferences) {
  constexpr int64_t kPairs = 4, kWidth = 6;
  const std::vector<uint64_t> groups = {7, 8, 8, 9};
  std::vector<float> e(2 * kPairs * kWidth), g(e.size(), 0.0f), unused(e.size());
  for (size_t i = 0; i < e.size(); ++i) e[i] = 0.4f * random_normal(1, 1, i);
  info_nce(e, groups, 0.5f, g);
  for (size_t i = 0; i < e.size(); ++i) {
    std::vector<float> up = e, down = e;
    up[i] += 1e-3f, down[i] -= 1e-3f;
    const double measured = (info_nce(up, groups, 0.5f, unused) - info_nce(down, groups, 0.5f, unused)) /
                            static_cast<double>(up[i] - down[i]);
    EXPECT_NEAR(measured, static_cast<double>(g[i]), 1e-3);
  }
}

TEST(InfoNce, PairsOfOneGroupAreNotEachOthersNegatives) {
  // Both pairs are the same text: told apart they cost log 2, as one group nothing.
  const std::vector<float> e = {1, 0, 1, 0, 1, 0, 1, 0};
  std::vector<float> g(e.size());
  EXPECT_NEAR(info_nce(e, std::vector<uint64_t>{1, 2}, 0.1f, g), std::log(2.0), 1e-6);
  EXPECT_NEAR(info_nce(e, std::vector<uint64_t>{1, 1}, 0.1f, g), 0, 1e-9);
  for (const float value : g) EXPECT_EQ(value, 0);
}

ModelConfig tiny_config() {
  ModelConfig c;
  c.vocab_size = 64, c.hidden_size = 32, c.intermediate_size = 48, c.num_layers = 2;
  c.num_heads = c.num_kv_heads = 2, c.max_positions = 32;
  return c;
}

// Noise with a subject in it: two letters around a mark. Their order counts, which a bag of letters does not tell.
FineTuneExample text_of(uint64_t subject, uint64_t draw) {
  FineTuneExample text{{1}};
  const uint64_t before = random_u64(3, 0, draw) % 4;
  for (uint64_t i = 0; i < 5; ++i) {
    if (i == before) text.tokens.insert(text.tokens.end(), {static_cast<TokenId>(8 + subject / 8), 3});
    if (i == before) text.tokens.push_back(static_cast<TokenId>(8 + subject % 8));
    text.tokens.push_back(static_cast<TokenId>(24 + random_u64(3, 1 + i, draw) % 40));
  }
  text.tokens.push_back(0);
  return text;
}

std::vector<TextPair> pairs_of_one_subject(uint64_t count) {
  std::vector<TextPair> pairs;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t subject = random_u64(4, 1, i) % 64;
    pairs.push_back({text_of(subject, 2 * i), text_of(subject, 2 * i + 1), subject});
  }
  return pairs;
}

Transformer make_model() {
  Transformer model(tiny_config(), DType::f32, 512);
  model.parameters().initialize(4);
  return model;
}

const FineTuneOptions kOptions = {
    .epochs = 30, .max_length = 16, .batch_tokens = 512, .learning_rate = 3e-3, .held_out = 0.2, .temperature = 0.1f};

TEST(Contrastive, GradientsThroughTheModelMatchFiniteDifferences) {
  Transformer model = make_model();
  const std::vector<TextPair> pairs = pairs_of_one_subject(6);
  const std::vector<uint32_t> items = {0, 1, 2, 3, 4, 5};
  FineTuneOptions options = kOptions;
  options.temperature = 0.5f;
  const std::unique_ptr<Objective> objective = make_contrastive(model, pairs, options);
  model.parameters().zero_gradients();
  objective->train(items);
  for (const char* name :
       {"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight"})
    expect_gradient_of(model, name, [&] { return objective->score(items).mean(); });
}

// On pairs that were not trained on: of a batch of about 25 pairs, how many texts are nearest to their partner.
TEST(Contrastive, AWholeModelAndAdaptersLearnWhatATextIsAbout) {
  const std::vector<TextPair> pairs = pairs_of_one_subject(600);
  Transformer whole = make_model();
  Transformer adapted(tiny_config(), DType::bf16, 512, {.lora = LoraOptions{.rank = 8, .alpha = 16}});
  for (size_t i = 0; i < whole.parameters().list().size(); ++i)
    adapted.parameters().assign(i, whole.parameters().weight(i));
  adapted.lora()->initialize(5);
  for (Transformer* model : {&whole, &adapted}) {
    FineTuneOptions options = kOptions;
    if (model->lora()) options.learning_rate = 1e-2;
    const FineTuneResult result = finetune(*model, pairs, options);
    EXPECT_EQ(result.held_out, 120);
    EXPECT_LT(result.accuracy_before, 0.4);
    EXPECT_GT(result.accuracy_after, 0.9);
    EXPECT_LT(result.loss_after, 0.5 * result.loss_before);
    fmt::print("{}: loss {:.3f} -> {:.3f}, nearest {:.2f} -> {:.2f}\n", model->lora() ? "LoRA" : "whole",
               result.loss_before, result.loss_after, result.accuracy_before, result.accuracy_after);
  }
}

// It would be found nearest whatever the model says.
TEST(Contrastive, APairWithNothingToTellItFromCountsForNothing) {
  Transformer model = make_model();
  std::vector<TextPair> pairs = pairs_of_one_subject(3);
  pairs[0].group = pairs[1].group = 100, pairs[2].group = 101;
  const std::unique_ptr<Objective> objective = make_contrastive(model, pairs, kOptions);
  const auto weight = [&](const std::vector<uint32_t>& items) { return objective->score(items).weight; };
  EXPECT_EQ(weight({2}), 0);
  EXPECT_EQ(weight({0, 1}), 0);
  EXPECT_EQ(weight({0, 1, 2}), 3);
  FineTuneOptions options = kOptions;
  options.epochs = 1, options.held_out = 0, options.batch_tokens = 32;  // one pair a batch
  EXPECT_EQ(finetune(model, pairs, options).accuracy_before, 0);
}

TEST(Contrastive, TextsOfNoPlacesAreNoPairsAndATemperatureOf0IsRefused) {
  Transformer model = make_model();
  std::vector<TextPair> pairs = pairs_of_one_subject(8);
  pairs[2].positive.tokens.resize(1);
  FineTuneOptions options = kOptions;
  options.epochs = 1, options.held_out = 0;
  EXPECT_EQ(finetune(model, pairs, options).passed_over, 1);
  options.temperature = 0;
  EXPECT_THROW(finetune(model, pairs, options), ConfigError);
}

}  // namespace
}  // namespace starling

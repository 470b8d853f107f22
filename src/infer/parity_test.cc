// The engine's forward pass against an independent one in PyTorch (llama_reference.py beside this file).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <sstream>

#include "infer/decoder.h"
#include "infer/engine.h"
#include "infer/test_model.h"
#include "model/model_folder.h"
#include "model/transformer.h"
#include "train/example_batch.h"

namespace starling {
namespace {

std::string output_of(const std::string& command) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  char block[4096];
  for (size_t count; pipe != nullptr && (count = fread(block, 1, sizeof block, pipe)) > 0;) output.append(block, count);
  return pipe != nullptr && pclose(pipe) == 0 ? output : std::string();
}

// A Python that has torch: the first in the path, or Debian's.
std::string python_with_torch() {
  for (const std::string python : {"python3", "/usr/bin/python3"}) {
    if (!output_of(python + " -c 'import torch; print(1)' 2>/dev/null").empty()) return python;
  }
  return {};
}

struct Difference {  // of the logits, relative to their root mean square
  double overall = 0, of_the_median_token = 0;
};

Difference difference(std::span<const float> logits, std::span<const float> expected, size_t vocab_size) {
  double error = 0, square = 0;
  std::vector<double> of_tokens;
  for (size_t first = 0; first < expected.size(); first += vocab_size) {
    double token_error = 0, token_square = 0;
    for (size_t i = first; i < first + vocab_size; ++i) {
      const double d = static_cast<double>(logits[i]) - expected[i];
      token_error += d * d, token_square += static_cast<double>(expected[i]) * expected[i];
    }
    error += token_error, square += token_square;
    of_tokens.push_back(std::sqrt(token_error / token_square));
  }
  std::sort(of_tokens.begin(), of_tokens.end());
  return {std::sqrt(error / square), of_tokens[of_tokens.size() / 2]};
}

Difference compare(const TestModel& model, const ModelConfig& config, WeightForm format,
                   const std::vector<TokenId>& tokens, const std::vector<float>& expected) {
  Decoder decoder(config, load_weights(*open_weights(model.folder(), config), config, format));
  KvPagePool pages(config);
  KvCache cache(pages);
  const BatchSpan span{&cache, tokens};
  const std::span<const float> hidden = decoder.forward({&span, 1});
  std::vector<float> logits(tokens.size() * static_cast<size_t>(config.vocab_size));
  decoder.logits(hidden, logits);
  return difference(logits, expected, static_cast<size_t>(config.vocab_size));
}

void check_parity(const ModelConfig& config) {
  const std::string python = python_with_torch();
  if (python.empty()) GTEST_SKIP() << "no python3 with torch";
  const TestModel model(config);
  std::vector<TokenId> tokens;
  for (int i = 0; i < 90; ++i) tokens.push_back((i * 37 + 5) % 290);
  std::string command =
      python + " '" STARLING_SOURCE_DIR "/src/infer/llama_reference.py' '" + model.folder().string() + "'";
  for (TokenId token : tokens) command += " " + std::to_string(token);
  std::istringstream lines(output_of(command));
  std::vector<float> expected;
  for (float value; lines >> value;) expected.push_back(value);
  ASSERT_EQ(expected.size(), tokens.size() * static_cast<size_t>(config.vocab_size));

  const Difference f32 = compare(model, config, WeightForm::f32, tokens, expected),
                   bf16 = compare(model, config, WeightForm::bf16, tokens, expected),
                   int8 = compare(model, config, WeightForm::int8, tokens, expected);
  if (config.experts_per_token < config.num_experts) {
    // Rounding turns some choices of experts over: those tokens and the ones that look at them differ more.
    EXPECT_LT(f32.of_the_median_token, 0.004);
    EXPECT_LT(bf16.of_the_median_token, 0.05);
    EXPECT_LT(int8.of_the_median_token, 0.15);
    return;
  }
  // Keys and values alone are rounded, to f16 (2^-12, 0.02 % in the mean).
  EXPECT_LT(f32.overall, 0.004);
  // The weights are exact in bf16; activations are rounded to it (2^-9, 0.1 % in the mean), keys and values to f16. The
  // sharp attention of random weights enlarges an error about seven times. A wrong scale or row gives more than 30 %.
  EXPECT_LT(bf16.overall, 0.02);
  // 8 bits: rounding both factors in groups of 32 makes a product err by about 0.7 % of its size.
  EXPECT_LT(int8.overall, 0.1);
}

TEST(Parity, GroupedQueriesAndAnOwnHeadMatchPyTorch) { check_parity(small_config()); }

TEST(Parity, ATiedHeadAndWidthsThatAreNotMultiplesOf32MatchPyTorch) {
  check_parity({.vocab_size = 301,
                .hidden_size = 60,
                .intermediate_size = 100,
                .num_layers = 3,
                .num_heads = 5,
                .num_kv_heads = 5,
                .max_positions = 128,
                .rope_theta = 500000.0f,
                .rms_norm_eps = 1e-6f,
                .tied_head = true});
}

TEST(Parity, Qwen2sBiasesAndALinearlyScaledRopeMatchPyTorch) {
  ModelConfig config = small_config();
  config.type = ModelType::qwen2;
  config.qkv_bias = true;
  config.rope_scaling = {.kind = RopeScaling::Kind::linear, .factor = 3};
  check_parity(config);
}

// The contexts they were stretched from are short, so that the pairs of these small heads differ in what they get.
TEST(Parity, RopesOfLlama3AndYarnMatchPyTorch) {
  ModelConfig config = small_config();
  config.rope_theta = 50;
  config.rope_scaling = {.kind = RopeScaling::Kind::llama3, .factor = 8, .original_max_positions = 64};
  check_parity(config);
  config.rope_scaling = {.kind = RopeScaling::Kind::yarn, .factor = 4, .original_max_positions = 300};
  check_parity(config);
}

TEST(Parity, MixtralsExpertsMatchPyTorch) {
  ModelConfig config = small_config();
  config.type = ModelType::mixtral;
  config.num_experts = 6;
  for (const int64_t chosen : {2, 6}) {
    config.experts_per_token = chosen;
    check_parity(config);
  }
}

TEST(Parity, Grok1MatchesPyTorch) {
  ModelConfig config = small_config();
  config.type = ModelType::grok1;
  config.num_experts = 6;
  config.attention_cap = 1.5f, config.embedding_scale = 3, config.logit_scale = 0.6f;
  for (const int64_t chosen : {2, 6}) {
    config.experts_per_token = chosen;
    check_parity(config);
  }
}

// -log p of every next token, from training's forward pass in f32 and from the engine's weights in bf16.
TEST(Parity, AMixturesNatsAreThoseOfTraining) {
  ModelConfig config = small_config();
  config.type = ModelType::mixtral, config.num_experts = 6, config.experts_per_token = 2;
  const TestModel model(config);
  constexpr int kPlaces = 90;
  Batch batch{1, kPlaces, {}, {}, {}, std::vector<int32_t>(kPlaces, 0)};
  for (int i = 0; i < kPlaces; ++i) {
    batch.tokens.push_back((i * 37 + 5) % 290);
    batch.targets.push_back(((i + 1) * 37 + 5) % 290);
    batch.positions.push_back(i);
  }
  Transformer training(config, DType::f32, kPlaces);
  load_parameters(training.parameters(), model.folder() / "model.safetensors");
  training.parameters().refresh_compute();
  const std::vector<float> wanted = training.score(batch);
  Decoder decoder(config, load_weights(*open_weights(model.folder(), config), config, WeightForm::bf16));
  KvPagePool pages(config);
  KvCache cache(pages);
  const std::vector<TokenId> tokens(batch.tokens.begin(), batch.tokens.end());
  const BatchSpan span{&cache, tokens};
  std::vector<float> logits(static_cast<size_t>(kPlaces * config.vocab_size));
  decoder.logits(decoder.forward({&span, 1}), logits);
  std::vector<double> errors;
  for (size_t i = 0; i < kPlaces; ++i) {
    const auto row = std::span(logits).subspan(i * static_cast<size_t>(config.vocab_size), config.vocab_size);
    double sum = 0;
    for (float logit : row) sum += std::exp(static_cast<double>(logit));
    errors.push_back(std::abs(std::log(sum) - static_cast<double>(row[batch.targets[i]] + wanted[i])));
  }
  std::sort(errors.begin(), errors.end());
  EXPECT_LT(errors[kPlaces / 2], 0.05) << "of about 6 nats; the median, because rounding turns choices over";
}

// What contrastive fine-tuning brings together is what the engine returns: hidden states in f32 beside those of bf16.
TEST(Parity, AnEmbeddingIsTheDirectionOfTrainingsHiddenStates) {
  const ModelConfig config = small_config();
  const TestModel model(config);
  const FineTuneExample text{{1, 40, 70, 200, 40, 13, 0}};
  const FineTuneExample* const texts[] = {&text};
  Transformer training(config, DType::f32, text.places());
  load_parameters(training.parameters(), model.folder() / "model.safetensors");
  training.parameters().refresh_compute();
  const ConstTensor hidden = training.forward(one_example_a_row(texts));
  const std::vector<TokenId> read(text.tokens.begin(), text.tokens.end() - 1);
  const std::vector<float> embedding =
      Engine::load(model.folder(), {.weights = WeightForm::bf16})->embed_tokens({read}, {}).front();
  std::vector<double> sum(embedding.size(), 0.0);
  for (int64_t i = 0; i < hidden.elements(); ++i)
    sum[static_cast<size_t>(i % config.hidden_size)] += static_cast<double>(hidden.as<float>()[i]);
  const double length = std::sqrt(std::inner_product(sum.begin(), sum.end(), sum.begin(), 0.0));
  for (size_t c = 0; c < sum.size(); ++c)
    EXPECT_NEAR(sum[c] / length, static_cast<double>(embedding[c]), 0.01);  // values of about 1/8
}

TEST(Parity, MistralsWindowAndHeadsOfTheirOwnSizeMatchPyTorch) {
  ModelConfig config = small_config();
  config.type = ModelType::mistral;
  config.sliding_window = 21;  // ends inside a page of keys
  config.head_dim = 24;
  check_parity(config);
}

}  // namespace
}  // namespace starling

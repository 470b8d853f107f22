// The engine's forward pass against an independent one in PyTorch (llama_reference.py beside this file).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>

#include "infer/decoder.h"
#include "infer/test_model.h"

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

struct Difference {
  double mean_square = 0, logit_square = 0;
};

Difference compare(const TestModel& model, const ModelConfig& config, WeightForm format,
                   const std::vector<TokenId>& tokens, const std::vector<float>& expected) {
  Decoder decoder(config, load_weights(*open_weights(model.folder(), config), config, format));
  KvPagePool pages(config);
  KvCache cache(pages);
  const BatchSpan span{&cache, tokens};
  const std::span<const float> hidden = decoder.forward({&span, 1});
  std::vector<float> logits(tokens.size() * static_cast<size_t>(config.vocab_size));
  decoder.logits(hidden, logits);
  EXPECT_EQ(logits.size(), expected.size());
  Difference difference;
  for (size_t i = 0; i < std::min(logits.size(), expected.size()); ++i) {
    const double d = static_cast<double>(logits[i]) - expected[i];
    difference.mean_square += d * d / static_cast<double>(expected.size());
    difference.logit_square += static_cast<double>(expected[i]) * expected[i] / static_cast<double>(expected.size());
  }
  return difference;
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

  const auto relative = [](const Difference& d) { return std::sqrt(d.mean_square / d.logit_square); };
  // The weights are exact in bf16; activations are rounded to it (2^-9, 0.1 % in the mean), keys and values to f16. The
  // sharp attention of random weights enlarges an error about seven times. A wrong scale or row gives more than 30 %.
  EXPECT_LT(relative(compare(model, config, WeightForm::bf16, tokens, expected)), 0.02);
  // 8 bits: rounding both factors in groups of 32 makes a product err by about 0.7 % of its size.
  EXPECT_LT(relative(compare(model, config, WeightForm::int8, tokens, expected)), 0.1);
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

TEST(Parity, MistralsWindowAndHeadsOfTheirOwnSizeMatchPyTorch) {
  ModelConfig config = small_config();
  config.type = ModelType::mistral;
  config.sliding_window = 21;  // ends inside a page of keys
  config.head_dim = 24;
  check_parity(config);
}

}  // namespace
}  // namespace starling

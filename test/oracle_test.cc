// The transformer against PyTorch: an implementation that shares no line with it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "core/random.h"
#include "model/model_folder.h"
#include "model/safetensors.h"
#include "model/transformer.h"
#include "train/optimizer.h"

namespace starling {
namespace {

constexpr int64_t kSteps = 200;

ModelConfig oracle_config(const std::string& architecture) {
  ModelConfig c;
  c.vocab_size = 61, c.hidden_size = 32, c.intermediate_size = 48, c.num_layers = 2, c.num_heads = 4,
  c.num_kv_heads = 2;
  c.max_positions = 32, c.tied_head = architecture == "tied";
  if (architecture == "qwen2") c.type = ModelType::qwen2, c.qkv_bias = true;
  if (architecture == "mistral") c.type = ModelType::mistral, c.sliding_window = 6, c.head_dim = 12;
  if (architecture == "mixtral")
    c.type = ModelType::mixtral, c.num_experts = 4, c.experts_per_token = 2, c.router_loss = 0.02f;
  if (architecture == "grok1")
    c.type = ModelType::grok1, c.num_experts = 4, c.experts_per_token = 2, c.router_loss = 0.02f, c.attention_cap = 3,
    c.embedding_scale = 2, c.logit_scale = 0.6f;
  if (architecture == "llama3")
    c.rope_scaling = {.kind = RopeScaling::Kind::llama3, .factor = 8, .original_max_positions = 16};
  if (architecture == "yarn")
    c.rope_scaling = {.kind = RopeScaling::Kind::yarn, .factor = 4, .original_max_positions = 256};
  return c;
}

// Text with something to learn: mostly the next token is a function of the one before.
Batch oracle_batch(const ModelConfig& c, uint64_t number) {
  Batch b{3, 24, {}, {}, {}, {}};
  const auto random = [&](int64_t i) { return random_u64(4, number, static_cast<uint64_t>(i)); };
  int32_t token = 0;
  for (int64_t i = 0; i < b.size(); ++i) {
    const int64_t t = i % b.length, start = t < 10 ? 0 : 10;
    const auto next =
        static_cast<int32_t>((random(i) % 4 == 0 ? random(i) >> 8 : static_cast<uint64_t>(token) * 7 + 3) %
                             static_cast<uint64_t>(c.vocab_size));
    b.tokens.push_back(token);
    b.targets.push_back(i % 7 == 3 ? -1 : next);
    b.positions.push_back(static_cast<int32_t>(t - start));
    b.document_starts.push_back(static_cast<int32_t>(start));
    token = next;
  }
  return b;
}

void save_gradients(const Parameters& parameters, const std::filesystem::path& path) {
  std::vector<TensorToWrite> tensors;
  for (size_t i = 0; i < parameters.list().size(); ++i) {
    const Tensor g = parameters.gradient(i);
    tensors.push_back(
        {parameters.list()[i].name, "F32", parameters.list()[i].shape, g.data(), static_cast<size_t>(g.bytes())});
  }
  write_safetensors(path, tensors, {});
}

std::vector<Batch> oracle_batches(const ModelConfig& config) {
  std::vector<Batch> batches;
  for (uint64_t i = 0; i < kSteps; ++i) batches.push_back(oracle_batch(config, i));
  return batches;
}

// The losses of 200 steps of AdamW from the same weights over the same batches. With a folder, the weights before and
// the first step's gradients are left there.
std::vector<double> losses_of(const ModelConfig& config, DType compute, const std::vector<Batch>& batches,
                              const std::filesystem::path& folder = {}) {
  const float scale = 1.0f / static_cast<float>(batches[0].size()), rate = 0.001f;
  Transformer model(config, compute, batches[0].size());
  model.parameters().initialize(2);
  Optimizer optimizer(model.parameters(), false);
  if (!folder.empty()) save_parameters(model.parameters(), folder / "model.safetensors");
  std::vector<double> losses;
  for (int64_t step = 1; step <= kSteps; ++step) {
    model.parameters().zero_gradients();
    const Batch& batch = batches[static_cast<size_t>(step - 1)];
    losses.push_back(model.train(batch, {.scale = scale}) * static_cast<double>(scale));
    if (step == 1 && !folder.empty()) save_gradients(model.parameters(), folder / "gradients.safetensors");
    optimizer.step({.step = step, .learning_rate = rate, .embedding_learning_rate = rate});
  }
  return losses;
}

void write_case(const std::filesystem::path& folder, const std::string& architecture) {
  const ModelConfig config = oracle_config(architecture);
  const std::vector<Batch> batches = oracle_batches(config);
  config.save(folder / "config.json");
  nlohmann::json json = {{"sequences", batches[0].sequences},
                         {"length", batches[0].length},
                         {"positions", batches[0].positions},
                         {"document_starts", batches[0].document_starts},
                         {"losses", losses_of(config, DType::f32, batches, folder)},
                         {"bf16_losses", losses_of(config, DType::bf16, batches)},
                         {"learning_rate", 0.001f}};
  for (const Batch& batch : batches) json["batches"].push_back({{"tokens", batch.tokens}, {"targets", batch.targets}});
  write_file_atomic(folder / "case.json", json.dump());
}

class Oracle : public testing::TestWithParam<const char*> {};

TEST_P(Oracle, GradientsAndTheLossesOfTwoHundredStepsAreThoseOfPyTorch) {
  const std::string python = std::filesystem::exists("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
  if (std::system((python + " -c 'import torch' >/dev/null 2>&1").c_str()) != 0)
    GTEST_SKIP() << "PyTorch is not installed (Debian: python3-torch)";
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("starling-oracle-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  write_case(folder, GetParam());
  std::string command = python + " " STARLING_SOURCE_DIR "/test/oracle/parity.py " + folder.string();
  if (const char* file = std::getenv("STARLING_SAVE_ORACLE"))
    command += std::string(" --save ") + file + " " + GetParam();
  EXPECT_EQ(std::system(command.c_str()), 0);
  std::filesystem::remove_all(folder);
}

// The same without PyTorch: its losses are numbers in a file, from the same weights (a function of their seed) over the
// same batches. Within 1e-4, as in parity.py: f32 sums in another order, which the steps add up.
TEST_P(Oracle, TheLossesOfTwoHundredStepsAreThoseStoredFromPyTorch) {
  const nlohmann::json stored = nlohmann::json::parse(read_file(STARLING_SOURCE_DIR "/test/oracle/losses.json"));
  const std::vector<double> wanted = stored.at("losses").at(GetParam());
  const ModelConfig config = oracle_config(GetParam());
  const std::vector<double> got = losses_of(config, DType::f32, oracle_batches(config));
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], 1e-4) << "step " << i + 1;
}

INSTANTIATE_TEST_SUITE_P(Architectures, Oracle,
                         testing::Values("tied", "untied", "qwen2", "mistral", "mixtral", "grok1", "llama3", "yarn"));

}  // namespace
}  // namespace starling

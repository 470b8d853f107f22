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

ModelConfig oracle_config(bool tied) {
  ModelConfig c;
  c.vocab_size = 61, c.hidden_size = 32, c.intermediate_size = 48, c.num_layers = 2, c.num_heads = 4,
  c.num_kv_heads = 2;
  c.max_positions = 32, c.tied_head = tied;
  return c;
}

Batch oracle_batch(const ModelConfig& c) {
  Batch b{3, 24, {}, {}, {}, {}};
  for (int64_t i = 0; i < b.size(); ++i) {
    const int64_t t = i % b.length, start = t < 10 ? 0 : 10;
    const auto token = [&](uint64_t stream) {
      return static_cast<int32_t>(random_u64(4, stream, static_cast<uint64_t>(i)) %
                                  static_cast<uint64_t>(c.vocab_size));
    };
    b.tokens.push_back(token(1));
    b.targets.push_back(i % 7 == 3 ? -1 : token(2));
    b.positions.push_back(static_cast<int32_t>(t - start));
    b.document_starts.push_back(static_cast<int32_t>(start));
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

void write_case(const std::filesystem::path& folder, bool tied) {
  const ModelConfig config = oracle_config(tied);
  const Batch batch = oracle_batch(config);
  const float scale = 1.0f / static_cast<float>(batch.size()), rate = 0.01f;
  Transformer model(config, DType::f32, batch.size());
  model.parameters().initialize(2);
  config.save(folder / "config.json");
  save_parameters(model.parameters(), folder / "model.safetensors");
  Optimizer optimizer(model.parameters(), false);
  std::vector<double> losses;
  for (int64_t step = 1; step <= 20; ++step) {
    model.parameters().zero_gradients();
    losses.push_back(model.train(batch, scale) * static_cast<double>(scale));
    if (step == 1) save_gradients(model.parameters(), folder / "gradients.safetensors");
    optimizer.step({.step = step, .learning_rate = rate, .embedding_learning_rate = rate});
  }
  const nlohmann::json json = {{"sequences", batch.sequences},
                               {"length", batch.length},
                               {"tokens", batch.tokens},
                               {"targets", batch.targets},
                               {"positions", batch.positions},
                               {"document_starts", batch.document_starts},
                               {"loss", losses[0]},
                               {"losses", losses},
                               {"learning_rate", rate}};
  write_file_atomic(folder / "case.json", json.dump());
}

class Oracle : public testing::TestWithParam<bool> {};

TEST_P(Oracle, LossGradientsAndTwentyStepsAreThoseOfPyTorch) {
  const std::string python = std::filesystem::exists("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
  if (std::system((python + " -c 'import torch' >/dev/null 2>&1").c_str()) != 0)
    GTEST_SKIP() << "PyTorch is not installed (Debian: python3-torch)";
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("starling-oracle-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  write_case(folder, GetParam());
  EXPECT_EQ(std::system((python + " " STARLING_SOURCE_DIR "/test/oracle/parity.py " + folder.string()).c_str()), 0);
  std::filesystem::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(TiedAndUntied, Oracle, testing::Bool());

}  // namespace
}  // namespace starling

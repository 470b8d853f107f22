#include "model/lora.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "model/model_folder.h"
#include "model/safetensors.h"
#include "model/transformer.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

ModelConfig tiny_config() {
  ModelConfig c;
  c.vocab_size = 29, c.hidden_size = 16, c.intermediate_size = 24, c.num_layers = 2, c.num_heads = 4;
  c.num_kv_heads = 2, c.max_positions = 40;
  return c;
}

Batch random_batch(const ModelConfig& c, uint64_t seed) {
  Batch b{2, 20, {}, {}, {}, {}};
  const auto draw = [&](uint64_t stream, int64_t i) {
    return static_cast<int32_t>(random_u64(seed, stream, static_cast<uint64_t>(i)) %
                                static_cast<uint64_t>(c.vocab_size));
  };
  for (int64_t i = 0; i < b.size(); ++i) {
    b.tokens.push_back(draw(1, i));
    b.targets.push_back(i % 4 == 3 ? -1 : draw(2, i));
    b.positions.push_back(static_cast<int32_t>(i % 20));
    b.document_starts.push_back(0);
  }
  return b;
}

void randomize(Tensor values, uint64_t seed, float deviation) {
  for (int64_t i = 0; i < values.elements(); ++i)
    values.as<float>()[i] = deviation * random_normal(seed, 7, static_cast<uint64_t>(i));
}

// Weights of which every part matters, the same for a trained and a frozen model.
void set_weights(Parameters& parameters, const ModelConfig& config) {
  Parameters plain(config, DType::f32);
  for (size_t p = 0; p < plain.list().size(); ++p) {
    randomize(plain.value(p), p + 1, 0.3f);
    if (!plain.list()[p].is_matrix())
      for (int64_t i = 0; i < plain.list()[p].elements; ++i) plain.value(p).as<float>()[i] += 1.0f;
    parameters.assign(p, plain.value(p));
  }
}

double total_nats(Transformer& model, const Batch& batch) {
  double total = 0;
  for (float nats : model.score(batch)) total += static_cast<double>(nats);
  return total;
}

class LoraTest : public testing::Test {
 protected:
  Transformer make(DType compute, const LoraOptions& options, Recompute recompute = Recompute::none) const {
    return Transformer(config_, compute, batch_.size(), {.recompute = recompute, .lora = options});
  }
  ModelConfig config_ = tiny_config();
  Batch batch_ = random_batch(config_, 5);
  LoraOptions all_{.rank = 3, .alpha = 6};
};

TEST_F(LoraTest, AFreshAdapterChangesNothing) {
  Transformer with = make(DType::f32, all_), without(config_, DType::f32, batch_.size());
  set_weights(with.parameters(), config_), set_weights(without.parameters(), config_);
  with.lora()->initialize(1);
  EXPECT_EQ(with.score(batch_), without.score(batch_));
}

// Central differences along the sign of the gradient, over steps of 0.005 in length: a loss near 200, rounded to 1e-5,
// leaves 0.002 of a slope near 700, and the h^2 term some tenths of a percent.
TEST_F(LoraTest, GradientsOfEveryAdapterMatchFiniteDifferences) {
  for (const std::vector<std::string>& targets :
       {all_.targets, std::vector<std::string>{"v_proj", "up_proj"}, std::vector<std::string>{"k_proj", "down_proj"}}) {
    LoraOptions options = all_;
    options.targets = targets;
    Transformer model = make(DType::f32, options);
    set_weights(model.parameters(), config_);
    randomize(model.lora()->values(), 9, 0.2f);
    const double loss = model.train(batch_, {.scale = 1.0f});
    EXPECT_NEAR(loss, total_nats(model, batch_), 1e-4);
    const int64_t n = model.lora()->values().elements(), quarter = n / 4;
    float* values = model.lora()->values().as<float>();
    const float* gradient = model.lora()->gradients().as<float>();
    for (int64_t part = 0; part < 4; ++part) {  // of the flat memory, so that no layer hides another
      const int64_t first = part * quarter, last = part == 3 ? n : first + quarter;
      const std::vector<float> before(values, values + n);
      double expected = 0, sides[2];
      for (int64_t i = first; i < last; ++i) expected += std::abs(static_cast<double>(gradient[i]));
      const float h = 0.005f / std::sqrt(static_cast<float>(last - first));
      for (int side = 0; side < 2; ++side) {
        for (int64_t i = first; i < last; ++i)
          values[i] = before[static_cast<size_t>(i)] + (side == 0 ? h : -h) * (gradient[i] > 0 ? 1.0f : -1.0f);
        sides[side] = total_nats(model, batch_);
      }
      std::copy(before.begin(), before.end(), values);
      EXPECT_NEAR((sides[0] - sides[1]) / (2.0 * static_cast<double>(h)), expected, 0.01 * expected + 1e-3)
          << targets.size() << " targets, part " << part;
      EXPECT_GT(expected, 0);
    }
  }
}

TEST_F(LoraTest, GradientsAreTheSameBitsWithActivationsMadeAgain) {
  Transformer kept = make(DType::bf16, all_), again = make(DType::bf16, all_, Recompute::blocks);
  for (Transformer* model : {&kept, &again}) {
    set_weights(model->parameters(), config_);
    randomize(model->lora()->values(), 9, 0.2f);
    model->lora()->refresh_compute();
    model->train(batch_, {.scale = 0.1f});
  }
  const Tensor a = kept.lora()->gradients(), b = again.lora()->gradients();
  EXPECT_EQ(std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())), 0);
}

// Merged in f32 the sums differ in their order only.
TEST_F(LoraTest, AMergedModelScoresAsBaseAndAdapterDid) {
  Transformer adapted = make(DType::f32, all_), merged(config_, DType::f32, batch_.size());
  set_weights(adapted.parameters(), config_), set_weights(merged.parameters(), config_);
  randomize(adapted.lora()->values(), 9, 0.2f);
  const std::vector<float> want = adapted.score(batch_);
  adapted.lora()->merge_into(merged.parameters());
  const std::vector<float> got = merged.score(batch_);
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-3f) << i;
}

TEST_F(LoraTest, AFrozenModelInBf16NeedsAQuarterOfTheMemoryAndKeepsItsWeights) {
  Transformer model = make(DType::bf16, all_);
  set_weights(model.parameters(), config_);
  model.lora()->initialize(1);
  EXPECT_TRUE(model.parameters().gradients().empty());
  const size_t matrix = model.parameters().index_of("model.layers.1.mlp.up_proj.weight");
  EXPECT_TRUE(model.parameters().value(matrix).empty());
  EXPECT_EQ(model.parameters().weight(matrix).dtype(), DType::bf16);
  const std::vector<float> before = model.score(batch_);
  model.train(batch_, {.scale = 1.0f});
  EXPECT_EQ(model.score(batch_), before);
  EXPECT_GT(std::abs(model.lora()->gradients().as<float>()[0]) +
                std::abs(model.lora()->gradients().as<float>()[model.lora()->gradients().elements() - 1]),
            0.0f);
}

TEST_F(LoraTest, AnAdapterFileHasTheNamesOfPeftAndSurvives) {
  const fs::path folder = fs::temp_directory_path() / ("starling-lora-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  Lora saved(config_, all_, DType::f32, 8), loaded(config_, all_, DType::f32, 8);
  randomize(saved.values(), 3, 0.5f);
  saved.save(folder, "models/own");
  const SafetensorsFile file(folder / "adapter_model.safetensors");
  EXPECT_EQ(file.tensors().size(), 2u * 2 * 7);
  const auto shape = [&](const char* name) { return file.tensor(name).shape; };
  EXPECT_EQ(shape("base_model.model.model.layers.1.self_attn.k_proj.lora_A.weight"), (std::vector<int64_t>{3, 16}));
  EXPECT_EQ(shape("base_model.model.model.layers.0.mlp.down_proj.lora_B.weight"), (std::vector<int64_t>{16, 3}));
  EXPECT_EQ(Lora::read_options(folder).targets, all_.targets);
  EXPECT_EQ(Lora::read_options(folder).alpha, 6.0f);
  loaded.load(folder);
  EXPECT_EQ(std::memcmp(saved.values().data(), loaded.values().data(), static_cast<size_t>(saved.values().bytes())), 0);
  LoraOptions wider = all_;
  wider.rank = 4;
  EXPECT_THROW(Lora(config_, wider, DType::f32, 8).load(folder), DataError);
  fs::remove_all(folder);
}

TEST_F(LoraTest, DamagedAdapterFilesAreErrorsOrAnotherAdapterButNeverACrash) {
  const fs::path folder = fs::temp_directory_path() / ("starling-lora-damaged-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  Lora lora(config_, all_, DType::f32, 8);
  lora.save(folder, "models/own");
  for (const char* name : {"adapter_config.json", "adapter_model.safetensors"}) {
    const std::string whole = read_file(folder / name);
    const auto try_with = [&](const std::string& content) {
      std::ofstream(folder / name, std::ios::binary) << content;
      try {
        Lora::read_options(folder);
        lora.load(folder);
        return true;
      } catch (const Error&) {
        return false;
      }
    };
    for (size_t length : {size_t{0}, size_t{5}, whole.size() / 2, whole.size() - 4})
      EXPECT_FALSE(try_with(whole.substr(0, length))) << name << " " << length;
    for (uint64_t round = 0; round < 60; ++round) {
      std::string flipped = whole;
      flipped[random_u64(1, 1, round) % std::min<size_t>(whole.size(), 2000)] ^=
          static_cast<char>(1 << random_u64(1, 2, round) % 8);
      try_with(flipped);
    }
    EXPECT_TRUE(try_with(whole));
  }
  fs::remove_all(folder);
}

// Read without a word, they would be merged in part or at another strength.
TEST_F(LoraTest, PartsOfAnAdapterThatAreNotReadAreRefused) {
  const fs::path folder = fs::temp_directory_path() / ("starling-lora-parts-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  LoraOptions fewer = all_;
  fewer.targets = {"q_proj"};
  Lora whole(config_, all_, DType::f32, 8), part(config_, fewer, DType::f32, 8);
  whole.save(folder, "models/own");
  EXPECT_THROW(part.load(folder), DataError);
  const std::string config = read_file(folder / "adapter_config.json");
  for (const auto& [patterns, is_read] : {std::pair{R"({"alpha_pattern": {}, "rank_pattern": null,)", true},
                                          {R"({"alpha_pattern": {"q_proj": 64},)", false},
                                          {R"({"rank_pattern": {"q_proj": 2},)", false}}) {
    write_file_atomic(folder / "adapter_config.json", patterns + config.substr(1));
    if (is_read) EXPECT_NO_THROW(Lora::read_options(folder)) << patterns;
    else EXPECT_THROW(Lora::read_options(folder), DataError) << patterns;
  }
  fs::remove_all(folder);
}

TEST_F(LoraTest, UnknownTargetsAndRanksAreRefused) {
  EXPECT_THROW(Lora(config_, {.rank = 0}, DType::f32, 8), ConfigError);
  EXPECT_THROW(Lora(config_, {.targets = {"lm_head"}}, DType::f32, 8), ConfigError);
  EXPECT_THROW(Lora(config_, {.targets = {}}, DType::f32, 8), ConfigError);
}

class LoraOfMixtures : public LoraTest, public testing::WithParamInterface<ModelType> {};

TEST_P(LoraOfMixtures, ExpertsTakeNoAdaptersButTheirAttentionDoes) {
  config_.type = GetParam(), config_.num_experts = 4, config_.experts_per_token = 2;
  try {
    make(DType::f32, all_);
    ADD_FAILURE() << "adapters beside experts";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("gate_proj is no target"), std::string::npos) << error.what();
  }
  Transformer model = make(DType::f32, {.rank = 3, .targets = {"q_proj", "o_proj"}});
  set_weights(model.parameters(), config_);
  model.lora()->initialize(1);
  const double before = total_nats(model, batch_);
  for (int step = 0; step < 3; ++step) {
    Lora& lora = *model.lora();
    std::memset(lora.gradients().data(), 0, static_cast<size_t>(lora.gradients().bytes()));
    model.train(batch_, {.scale = 1.0f});
    for (int64_t i = 0; i < lora.values().elements(); ++i)
      lora.values().as<float>()[i] -= 0.001f * lora.gradients().as<float>()[i];
    lora.refresh_compute();
  }
  EXPECT_LT(total_nats(model, batch_), before);
}

INSTANTIATE_TEST_SUITE_P(Mixtures, LoraOfMixtures, testing::Values(ModelType::mixtral, ModelType::grok1));

}  // namespace
}  // namespace starling

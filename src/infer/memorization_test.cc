#include "infer/memorization.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/hash.h"
#include "infer/test_model.h"
#include "posts/canary.h"
#include "posts/shards.h"
#include "train/options.h"
#include "train/trainer.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

TEST(Memorization, ExposureIsTheRankInBits) {
  EXPECT_EQ(exposure_bits(-1, std::vector<double>{-2, -3, -4}), 2.0);    // first of four
  EXPECT_EQ(exposure_bits(-2.5, std::vector<double>{-2, -3, -4}), 1.0);  // second
  EXPECT_EQ(exposure_bits(-9, std::vector<double>{-2, -3, -4}), 0.0);    // last
  EXPECT_EQ(exposure_bits(-2, std::vector<double>{-2}), 0.0);            // an equal one ranks before
}

TEST(Memorization, ASecretNeedsAlternatives) {
  const TestModel model;
  const auto engine = Engine::load(model.folder());
  EXPECT_THROW(measure_memorization(*engine, std::vector<PlantedSecret>{{"the fox is", " 12345678", 1, {}}}),
               DataError);
}

// A model trained here on canaries: five with one copy for every sixteen of others, five never seen.
class TrainedOnCanaries : public ::testing::Test {
 protected:
  void SetUp() override {
    Progress::set_quiet(true);
    workspace_ = Workspace::create(fs::temp_directory_path() / ("starling-canary-" + random_hex(8)),
                                   Config(train_config_keys()).to_toml());
    int line = 0;
    const auto tokenizer = train_byte_level_bpe(
        [&](std::string& text) {
          text = canary(1000 + line).text();
          return line++ < 50;
        },
        300);
    tokenizer->save(workspace_.tokenizer());
    fs::create_directories(workspace_.shards());
    ShardWriter writer(workspace_.shards(), {tokenizer->vocab_size(), sha256_file_hex(workspace_.tokenizer())});
    for (int64_t copy = 0; copy < 16; ++copy)
      for (int64_t index = 4; index < 25; index += 5) add(writer, *tokenizer, index, copy);
    writer.finish();
    train(workspace_, config(), {});
  }
  void TearDown() override { fs::remove_all(workspace_.root); }

  static void add(ShardWriter& writer, const Tokenizer& tokenizer, int64_t index, int64_t copy) {
    const std::string text = canary(index).text(), id = canary_post_id(index, copy);
    Sample sample{tokenizer.encode(text), static_cast<uint32_t>(text.size()), 1'000'000, id, kCanaryAuthor};
    sample.tokens.push_back(*tokenizer.special_id(kEndToken));
    writer.add("train", sample);
  }
  static Config config() {
    Config config(train_config_keys());
    for (const char* setting : {"model.hidden_size=64", "model.intermediate_size=128", "model.layers=2",
                                "model.heads=4", "model.kv_heads=4", "model.max_positions=64",
                                "train.sequence_length=64", "train.batch_tokens=256", "train.micro_batch_tokens=256",
                                "train.steps=150", "train.evaluation_interval=0", "train.checkpoint_interval=1000"})
      config.set(setting);
    return config;
  }
  static PlantedSecret planted(int64_t index, int64_t copies) {
    PlantedSecret secret{canary(index).prefix, canary(index).secret, copies, {}};
    for (uint64_t draw = 1; draw <= 63; ++draw) secret.alternatives.push_back(canary_secret(index, draw));
    return secret;
  }

  Workspace workspace_;
};

TEST_F(TrainedOnCanaries, WhatWasSeenOftenIsExtractedAndWhatWasNotIsNot) {
  std::vector<PlantedSecret> secrets;
  for (int64_t index = 4; index < 25; index += 5) secrets.push_back(planted(index, 16));
  for (int64_t index = 5; index < 15; ++index)
    if (index % 5 != 4) secrets.push_back(planted(index, 0));
  const auto engine = Engine::load(workspace_.model("own"));
  size_t last = 0;
  const auto groups = measure_memorization(*engine, secrets, [&](size_t done) { last = done; });
  EXPECT_EQ(last, secrets.size());
  EXPECT_EQ(groups.at(16).secrets, 5);
  EXPECT_GE(groups.at(16).extracted, 4);
  EXPECT_GT(groups.at(16).exposure_bits, 5.0);  // the most is log2 64 = 6
  EXPECT_EQ(groups.at(0).extracted, 0);
  EXPECT_LT(groups.at(0).exposure_bits, 3.5);  // 1.4 in the mean; eight of them deviate by 0.5
}

}  // namespace
}  // namespace starling

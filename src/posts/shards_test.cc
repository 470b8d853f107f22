#include "posts/shards.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/random.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

class Shards : public ::testing::Test {
 protected:
  fs::path folder_ = fs::temp_directory_path() / ("starling-shards-" + random_hex(8));
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  // Ten train samples of 1 to 10 tokens, two validation samples.
  void write(int64_t vocab_size, uint64_t max_shard_tokens = 1 << 20) {
    ShardWriter writer(folder_, {vocab_size, std::string(64, 'a'), max_shard_tokens});
    for (int i = 0; i < 12; ++i) {
      const std::string id = "post-" + std::to_string(i), author = i % 3 == 0 ? "" : "author-" + std::to_string(i);
      Sample sample;
      for (int t = 0; t <= i % 10; ++t) sample.tokens.push_back(static_cast<TokenId>((t * 7919 + i) % vocab_size));
      sample.text_bytes = static_cast<uint32_t>(10 + i);
      sample.time_s = 1000 + i;
      sample.post_id = id;
      sample.author = author;
      writer.add(i < 10 ? "train" : "valid", sample);
    }
    writer.finish();
  }
};

void expect_sample(const Sample& sample, int i, int64_t vocab_size) {
  EXPECT_EQ(sample.post_id, "post-" + std::to_string(i));
  EXPECT_EQ(sample.author, i % 3 == 0 ? "" : "author-" + std::to_string(i));
  EXPECT_EQ(sample.time_s, 1000 + i);
  EXPECT_EQ(sample.text_bytes, static_cast<uint32_t>(10 + i));
  ASSERT_EQ(sample.tokens.size(), static_cast<size_t>(i % 10 + 1));
  for (size_t t = 0; t < sample.tokens.size(); ++t)
    EXPECT_EQ(sample.tokens[t], static_cast<TokenId>((t * 7919 + i) % vocab_size));
}

TEST_F(Shards, EverySampleComesBackInOrderAcrossShards) {
  for (const int64_t vocab_size : {300, 65536, 70000}) {
    write(vocab_size, 7);  // several shards
    const ShardReader train(folder_, "train"), valid(folder_, "valid");
    ASSERT_EQ(train.sample_count(), 10u);
    ASSERT_EQ(valid.sample_count(), 2u);
    EXPECT_EQ(train.token_count(), 55u);
    EXPECT_EQ(train.text_bytes(), 145u);
    EXPECT_EQ(train.vocab_size(), vocab_size);
    EXPECT_EQ(train.tokenizer_sha256(), std::string(64, 'a'));
    for (int i = 0; i < 10; ++i) expect_sample(train.sample(i), i, vocab_size);
    for (int i = 10; i < 12; ++i) expect_sample(valid.sample(i - 10), i, vocab_size);
  }
}

TEST_F(Shards, ATokenOutsideTheVocabularyIsRefused) {
  ShardWriter writer(folder_, {.vocab_size = 100});
  Sample sample;
  sample.tokens = {100};
  EXPECT_THROW(writer.add("train", sample), DataError);
}

TEST_F(Shards, WithoutManifestTheErrorNamesPrepare) {
  try {
    const ShardReader reader(folder_, "train");
    FAIL();
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("starling prepare"), std::string::npos);
  }
}

TEST_F(Shards, ASplitWithoutSamplesIsEmpty) {
  ShardWriter writer(folder_, {.vocab_size = 100});
  writer.finish();
  EXPECT_EQ(ShardReader(folder_, "valid").sample_count(), 0u);
  EXPECT_THROW(ShardReader(folder_, "valid").sample(0), DataError);
}

TEST_F(Shards, TruncatedAndBitFlippedFilesAreFoundWhenOpened) {
  write(300);
  for (const char* name : {"train-00000.tokens", "train-00000.samples", "train-00000.ids", "manifest.json"}) {
    const std::string whole = read_file(folder_ / name);
    const bool manifest = std::string(name) == "manifest.json";
    for (int round = 0; round < 120; ++round) {
      std::string damaged = whole;
      if (round < 40) damaged.resize(random_u64(1, 0, round) % (whole.size() - 1));  // the manifest's line end may go
      else damaged[random_u64(2, 0, round) % whole.size()] ^= static_cast<char>(1 << (round % 8));
      write_file_atomic(folder_ / name, damaged);
      try {
        const ShardReader reader(folder_, "train");
        EXPECT_TRUE(manifest) << name << " round " << round;  // only white space of the manifest may change unseen
        for (int i = 0; i < 10; ++i) expect_sample(reader.sample(i), i, 300);
      } catch (const DataError& error) {
        EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
      }
    }
    write_file_atomic(folder_ / name, whole);
  }
}

}  // namespace
}  // namespace starling

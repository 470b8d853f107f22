#include "train/baseline.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "core/error.h"
#include "core/random.h"
#include "tokenizer/bpe_trainer.h"

namespace starling {
namespace {

// A sentence of a small grammar: predictable from its words before, not from single words.
std::string sentence(uint64_t seed, uint64_t index) {
  static const char* kWho[] = {"the old dog", "my neighbour", "a quick fox", "our teacher", "the small cat"};
  static const char* kDoes[] = {"reads a long book", "sleeps near the fire", "runs over the hill", "sings in the rain"};
  return fmt::format("{} {} number {}", kWho[random_u64(seed, index, 0) % 5], kDoes[random_u64(seed, index, 1) % 4],
                     random_u64(seed, index, 2) % 100);
}

class Baselines : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / fmt::format("starling-baseline-{}", ::getpid());
    std::filesystem::create_directories(folder_);
    BpeTrainer trainer;
    for (uint64_t i = 0; i < 500; ++i) trainer.add(sentence(1, i));
    tokenizer_ = trainer.train(320);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(int train, int valid, uint64_t valid_seed) {
    ShardWriter writer(folder_, {.vocab_size = tokenizer_->vocab_size(), .tokenizer_sha256 = "0"});
    for (int i = 0; i < train; ++i) writer.add("train", sample(sentence(1, i)));
    for (int i = 0; i < valid; ++i) writer.add("valid", sample(sentence(valid_seed, i)));
    writer.finish();
  }
  Sample sample(const std::string& text) const {
    std::vector<TokenId> tokens = tokenizer_->encode(text);
    tokens.push_back(*tokenizer_->special_id(kEndToken));
    return {
        .tokens = tokens, .text_bytes = static_cast<uint32_t>(text.size()), .time_s = 0, .post_id = "p", .author = "a"};
  }
  BaselineScores scores(uint64_t limit, const std::function<bool(const Sample&)>& is_masked = {}) const {
    const ShardReader train(folder_, "train"), valid(folder_, "valid");
    return score_baselines(newest_of(source_of(train, is_masked), limit), source_of(valid, is_masked), *tokenizer_);
  }

  std::filesystem::path folder_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(Baselines, TheFiveGramLearnsTheGrammarAndMoreTextHelps) {
  write(3000, 200, 2);
  const BaselineScores all = scores(0), few = scores(30);
  // The grammar has log2(5*4*100) = 11 bits a sentence of about 43 bytes: 0.255 bits a byte is the least possible.
  EXPECT_GT(all.five_gram_bits_per_byte, 0.25);
  EXPECT_LT(all.five_gram_bits_per_byte, 0.40);
  EXPECT_GT(all.unigram_bits_per_byte, 2 * all.five_gram_bits_per_byte);
  EXPECT_LT(all.five_gram_bits_per_byte, few.five_gram_bits_per_byte);
  EXPECT_GT(all.xz_bits_per_byte, 0.25);
  EXPECT_LT(all.xz_bits_per_byte, 1.5);
}

TEST_F(Baselines, XzFindsTextThatItHasSeen) {
  write(200, 200, 1);  // the same sentences again: one long match
  EXPECT_LT(scores(0).xz_bits_per_byte, 0.05);
}

TEST_F(Baselines, DeletedSamplesAreLeftOut) {
  write(10, 5, 2);
  EXPECT_THROW(scores(0, [](const Sample&) { return true; }), DataError);
}

TEST_F(Baselines, AnEmptySplitIsADataError) {
  write(10, 0, 2);
  EXPECT_THROW(scores(0), DataError);
}

}  // namespace
}  // namespace starling

#include "tokenizer/byte_level_bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "core/error.h"
#include "core/random.h"
#include "tokenizer/bpe_trainer.h"

namespace starling {
namespace {

using Ids = std::vector<TokenId>;

std::unique_ptr<Tokenizer> trained(std::vector<std::string> texts, int64_t vocab_size) {
  size_t next = 0;
  return train_byte_level_bpe(
      [&](std::string& text) {
        if (next == texts.size()) return false;
        text = texts[next++];
        return true;
      },
      vocab_size);
}

const std::vector<std::string> kTexts = {"the cat sat on the mat", "the dog sat on the log", "that hat, that cat",
                                         "a cat's hat"};

TokenId byte_id(char byte) { return 3 + static_cast<unsigned char>(byte); }

TEST(ByteLevelBpe, LearnsTheMostFrequentPairFirst) {
  // "aab" occurs 3 times, "ab" twice: (a,b) counts 5, (a,a) counts 3.
  const auto tokenizer = trained({"aab aab aab ab ab"}, 260);
  EXPECT_EQ(tokenizer->vocab_size(), 260);
  EXPECT_EQ(tokenizer->token_bytes(259), "ab");
  EXPECT_EQ(tokenizer->encode("aab"), (Ids{byte_id('a'), 259}));
}

TEST(ByteLevelBpe, TiesGoToTheSmallerPair) {
  EXPECT_EQ(trained({"cd,ab,cd,ab"}, 260)->token_bytes(259), ",a");  // ",a" ",c" "ab" "cd" and others occur twice
}

TEST(ByteLevelBpe, VocabularyDoesNotDependOnTheOrderOfTexts) {
  std::vector<std::string> reversed(kTexts.rbegin(), kTexts.rend());
  const auto forward = trained(kTexts, 290), backward = trained(reversed, 290);
  ASSERT_EQ(forward->vocab_size(), backward->vocab_size());
  for (TokenId id = 0; id < forward->vocab_size(); ++id) EXPECT_EQ(forward->token_bytes(id), backward->token_bytes(id));
}

TEST(ByteLevelBpe, TokensOfAVocabularyAreDistinct) {
  const auto tokenizer = trained({"abcabcab bcabc abc cab abcab bca", "bcbcabcabc abc bc abcbc"}, 400);
  std::vector<std::string> tokens;
  for (TokenId id = 3; id < tokenizer->vocab_size(); ++id) tokens.push_back(tokenizer->token_bytes(id));
  std::sort(tokens.begin(), tokens.end());
  EXPECT_EQ(std::adjacent_find(tokens.begin(), tokens.end()), tokens.end());
}

TEST(ByteLevelBpe, StopsWhenNoPairOccursTwice) { EXPECT_EQ(trained({"abc"}, 1000)->vocab_size(), 259); }

TEST(ByteLevelBpe, RefusesAVocabularyWithoutRoomForTheBytes) { EXPECT_THROW(trained(kTexts, 258), ConfigError); }

TEST(ByteLevelBpe, AnyBytesRoundTrip) {
  const auto tokenizer = trained(kTexts, 290);
  std::string every;
  for (int byte = 0; byte < 256; ++byte) every += static_cast<char>(byte);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(every)), every);
  for (uint64_t round = 0; round < 200; ++round) {
    std::string text;
    for (uint64_t i = 0; i < 50; ++i) text += static_cast<char>(random_u64(3, round, i));
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
  EXPECT_EQ(tokenizer->encode(""), Ids{});
}

TEST(ByteLevelBpe, SpecialTokensNeverComeFromTextAndDecodeToNothing) {
  const auto tokenizer = trained(kTexts, 290);
  const std::string text = "<|pad|><|beginofpost|> the <|endofpost|>";
  for (const TokenId id : tokenizer->encode(text)) EXPECT_GE(id, 3);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  EXPECT_EQ(tokenizer->special_id(kEndToken), 2);
  EXPECT_FALSE(tokenizer->special_id("<|system|>").has_value());
  EXPECT_EQ(tokenizer->decode(Ids{1, byte_id('x'), 2}), "x");
}

TEST(ByteLevelBpe, AnIdOutsideTheVocabularyIsADataError) {
  const auto tokenizer = trained(kTexts, 270);
  EXPECT_THROW(tokenizer->token_bytes(270), DataError);
  EXPECT_THROW(tokenizer->decode(Ids{-1}), DataError);
}

TEST(ByteLevelBpe, AMegabyteWithoutSpacesRoundTrips) {  // a quadratic merge would not end within the test's time limit
  const auto tokenizer = trained(kTexts, 290);
  std::string text;
  while (text.size() < (1 << 20)) text += "thecatsaton";
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
}

TEST(ByteLevelBpe, ThreadsShareOneTokenizer) {
  const auto tokenizer = trained(kTexts, 290);
  std::vector<Ids> expected;
  for (const std::string& text : kTexts) expected.push_back(trained(kTexts, 290)->encode(text));
  std::vector<std::jthread> threads;
  for (int worker = 0; worker < 4; ++worker) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        for (size_t i = 0; i < kTexts.size(); ++i) EXPECT_EQ(tokenizer->encode(kTexts[i]), expected[i]);
      }
    });
  }
}

}  // namespace
}  // namespace starling

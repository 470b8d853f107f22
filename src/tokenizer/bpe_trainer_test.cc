#include "tokenizer/bpe_trainer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "core/error.h"
#include "core/random.h"
#include "tokenizer/byte_level_bpe.h"
#include "tokenizer/merge_learner.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

std::string random_word(uint64_t seed, uint64_t number, uint64_t letters) {
  std::string word;
  const uint64_t length = 1 + random_u64(seed, number, 0) % 9;
  for (uint64_t i = 1; i <= length; ++i) word += static_cast<char>('a' + random_u64(seed, number, i) % letters);
  return word;
}

std::vector<std::string> tokens_of(const Tokenizer& tokenizer) {
  std::vector<std::string> tokens;
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) tokens.push_back(tokenizer.token_bytes(id));
  return tokens;
}

ByteLevelVocabulary bytes_only() {
  ByteLevelVocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) vocabulary.tokens.emplace_back(1, static_cast<char>(byte));
  return vocabulary;
}

// The definition: counts all pairs again for every merge. Letters stand in the byte alphabet in the order of bytes.
std::vector<std::pair<TokenId, TokenId>> merges_by_definition(const std::map<std::string, uint64_t>& counts,
                                                              size_t vocab_size) {
  std::vector<std::string> tokens = bytes_only().tokens;
  std::vector<std::pair<std::vector<TokenId>, uint64_t>> words;
  for (const auto& [text, count] : counts) words.emplace_back(std::vector<TokenId>(text.begin(), text.end()), count);
  std::vector<std::pair<TokenId, TokenId>> merges;
  while (tokens.size() < vocab_size) {
    std::map<std::pair<TokenId, TokenId>, uint64_t> pairs;
    for (const auto& [word, count] : words)
      for (size_t i = 0; i + 1 < word.size(); ++i) pairs[{word[i], word[i + 1]}] += count;
    const auto best =
        std::max_element(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    if (best == pairs.end() || best->second < 2) break;
    const auto [left, right] = best->first;
    merges.emplace_back(left, right);
    const std::string bytes = tokens[left] + tokens[right];
    const auto merged = static_cast<TokenId>(std::find(tokens.begin(), tokens.end(), bytes) - tokens.begin());
    if (merged == static_cast<TokenId>(tokens.size())) tokens.push_back(bytes);
    for (auto& [word, count] : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) {
        if (word[i] != left || word[i + 1] != right) continue;
        word[i] = merged;
        word.erase(word.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return merges;
}

TEST(MergeLearner, EqualsTheDefinitionOnRandomWords) {
  for (uint64_t round = 0; round < 40; ++round) {
    std::map<std::string, uint64_t> counts;
    for (uint64_t i = 0; i < 60; ++i)
      counts[random_word(100 + round, i, 2 + round % 4)] += 1 + random_u64(9, round, i) % 5;
    ByteLevelVocabulary vocabulary = bytes_only();
    MergeLearner learner(vocabulary, 0);
    for (const auto& [word, count] : counts) learner.add(word, count);
    learner.learn(330);
    std::vector<std::pair<TokenId, TokenId>> found;
    for (const Merge& merge : vocabulary.merges) found.emplace_back(merge.left, merge.right);
    EXPECT_EQ(found, merges_by_definition(counts, 330)) << "round " << round;
  }
}

TEST(MergeLearner, CountsBeyondThirtyTwoBits) {
  ByteLevelVocabulary vocabulary = bytes_only();
  MergeLearner learner(vocabulary, 0);
  learner.add("xy", (uint64_t{1} << 32) + 2);  // 2 in 32 bits
  learner.add("ab", 1000);
  learner.learn(257);
  EXPECT_EQ(vocabulary.tokens.back(), "xy");
}

TEST(BpeTrainer, SpillingToFilesChangesNothingWhileTheWordsFit) {
  const fs::path folder = fs::temp_directory_path() / ("starling-trainer-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  BpeTrainer in_memory;
  // 26^3 words of three letters: counting them takes more than 1.5 MB, learning from them less than 1.3.
  BpeTrainer spilling({.memory_bytes = 1400000, .spill_folder = folder});
  for (uint64_t text = 0; text < 2'800'000; ++text) {  // two batches
    std::string word;
    for (uint64_t i = 0; i < 3; ++i)
      word += static_cast<char>('a' + (random_u64(5, text, 0) >> 16 * i & 0xFFFF) % (26 - i * (text % 3)));
    in_memory.add(word);
    spilling.add(word);
  }
  EXPECT_GT(spilling.runs(), 0u) << "nothing was spilled";
  EXPECT_TRUE(fs::is_empty(folder)) << "a run has a name that a kill would leave";
  EXPECT_EQ(tokens_of(*spilling.train(400)), tokens_of(*in_memory.train(400)));
  EXPECT_EQ(spilling.distinct_pieces(), in_memory.distinct_pieces());
  EXPECT_EQ(spilling.pieces_used(), spilling.distinct_pieces());
  fs::remove_all(folder);
}

}  // namespace
}  // namespace starling

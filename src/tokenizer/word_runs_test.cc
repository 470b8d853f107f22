#include "tokenizer/word_runs.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

namespace starling {
namespace {

namespace fs = std::filesystem;

class WordRuns : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const std::map<std::string, uint64_t>& words) {
    WordCounts counts;
    for (const auto& [word, count] : words) counts.add(word, count);
    runs_.emplace_back(folder_, counts);
    EXPECT_TRUE(fs::is_empty(folder_)) << "a run has a name that a kill would leave";
  }

  std::map<std::string, uint64_t> read(size_t memory_bytes) {
    std::map<std::string, uint64_t> words;
    distinct_ = visit_most_frequent_words(runs_, memory_bytes, [&](std::string_view word, uint64_t count) {
      EXPECT_TRUE(words.emplace(word, count).second) << word;
    });
    return words;
  }

  fs::path folder_ = fs::temp_directory_path() / ("starling-word-runs-" + std::to_string(::getpid()));
  std::deque<WordRun> runs_;
  uint64_t distinct_ = 0;
};

TEST_F(WordRuns, AddUpTheCountsOfAWord) {
  write({{"a", 1}, {"b", uint64_t{1} << 40}, {std::string("\0z", 2), 3}});
  write({{"b", 5}, {"c", 2}});
  write({});
  const std::map<std::string, uint64_t> expected = {
      {"a", 1}, {"b", (uint64_t{1} << 40) + 5}, {"c", 2}, {std::string("\0z", 2), 3}};
  EXPECT_EQ(read(1 << 20), expected);
  EXPECT_EQ(distinct_, 4u);
}

TEST_F(WordRuns, TheRarestWordsGoFirstWhenMemoryIsShort) {
  std::map<std::string, uint64_t> words;
  for (int i = 0; i < 100; ++i) words["rare" + std::to_string(1000 + i)] = 2;
  words["often"] = 300;
  words["more often"] = 9000;
  write(words);
  EXPECT_EQ(read(1 << 10), (std::map<std::string, uint64_t>{{"often", 300}, {"more often", 9000}}));
  EXPECT_EQ(distinct_, 102u);
}

}  // namespace
}  // namespace starling

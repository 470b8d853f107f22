#include "tokenizer/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/random.h"

namespace starling {
namespace {

using testing::ElementsAreArray;
using Pieces = std::vector<std::string_view>;

struct Case {
  std::string_view text;
  Pieces pieces;
};

// The expected pieces are those of the published regular expressions in a backtracking engine.
TEST(SplitText, Cl100kFollowsItsRegularExpression) {
  const Case cases[] = {
      {"", {}},
      {"don't SHOUT'RE 'tis", {"don", "'t", " SHOUT", "'RE", " '", "tis"}},
      {"'\u017Fa", {"'\u017F", "a"}},
      {"1234567 is", {"123", "456", "7", " is"}},
      {"#tag @name.x", {"#tag", " @", "name", ".x"}},
      {"a   b", {"a", "  ", " b"}},
      {"end  ", {"end", "  "}},
      {"a \n\n b", {"a", " \n\n", " b"}},
      {"x?!\r\ny", {"x", "?!\r\n", "y"}},
      {"\ta\t\tb", {"\ta", "\t", "\tb"}},
      {"\u3000\u5168\u89D2", {"\u3000\u5168\u89D2"}},
      {"e\u0301 \u2167", {"e", "\u0301", " ", "\u2167"}},
      {"\xFF\xFE a", {"\xFF\xFE", " a"}},
      {"\xFF"
       "a",
       {"\xFF"
        "a"}},
  };
  for (const Case& c : cases)
    EXPECT_THAT(split_text(SplitPattern::kCl100k, c.text), ElementsAreArray(c.pieces)) << c.text;
}

TEST(SplitText, Gpt2FollowsItsRegularExpression) {
  const Case cases[] = {
      {"don't SHOUT'RE", {"don", "'t", " SHOUT", "'", "RE"}},
      {"1234567 is", {"1234567", " is"}},
      {" 42\n\n#tag", {" 42", "\n", "\n", "#", "tag"}},
      {"a   b", {"a", "  ", " b"}},
      {"\ta", {"\t", "a"}},
  };
  for (const Case& c : cases)
    EXPECT_THAT(split_text(SplitPattern::kGpt2, c.text), ElementsAreArray(c.pieces)) << c.text;
}

TEST(SplitText, Qwen2TakesDigitsOneByOne) {
  EXPECT_THAT(split_text(SplitPattern::kQwen2, "a123"), ElementsAreArray(Pieces{"a", "1", "2", "3"}));
}

TEST(SplitText, PiecesOfRandomBytesConcatenateToTheText) {
  for (uint64_t round = 0; round < 200; ++round) {
    std::string text;
    for (uint64_t i = 0; i < 64; ++i) text += static_cast<char>(random_u64(7, round, i) % (round % 2 ? 256 : 64));
    for (const SplitPattern pattern : {SplitPattern::kGpt2, SplitPattern::kCl100k, SplitPattern::kQwen2}) {
      std::string joined;
      for (const std::string_view piece : split_text(pattern, text)) {
        EXPECT_FALSE(piece.empty());
        joined += piece;
      }
      EXPECT_EQ(joined, text);
    }
  }
}

TEST(SplitPattern, IsRecognisedByItsRegularExpression) {
  for (const SplitPattern pattern : {SplitPattern::kGpt2, SplitPattern::kCl100k, SplitPattern::kQwen2}) {
    EXPECT_EQ(split_pattern_of(split_regex(pattern)), pattern);
  }
  EXPECT_FALSE(split_pattern_of(R"(\w+)").has_value());
}

}  // namespace
}  // namespace starling

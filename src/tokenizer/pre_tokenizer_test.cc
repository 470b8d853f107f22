#include "tokenizer/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/random.h"
#include "tokenizer/piece_lexer.h"

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

TEST(SplitText, O200kEndsWordsBeforeCapitalsAndKeepsContractions) {
  const Case cases[] = {
      {"HelloWorld don't SHOUT'RE", {"Hello", "World", " don't", " SHOUT'RE"}},
      {"XMLHttp iPhone", {"XMLHttp", " i", "Phone"}},
      {"a/b ?//\n/x", {"a", "/b", " ?//\n/", "x"}},
      {"e\u0301a\u0301", {"e\u0301a\u0301"}},
      {"\u0301 x", {"\u0301", " x"}},
      {"AB\u5168CD", {"AB\u5168", "CD"}},
      {"12345", {"123", "45"}},
      {"'\u017Fx", {"'\u017Fx"}},
  };
  for (const Case& c : cases)
    EXPECT_THAT(split_text(SplitPattern::kO200k, c.text), ElementsAreArray(c.pieces)) << c.text;
}

TEST(SplitText, TekkenTakesDigitsOneByOneAndContractionsApart) {
  EXPECT_THAT(split_text(SplitPattern::kTekken, "don't 12"), ElementsAreArray(Pieces{"don", "'t", " ", "1", "2"}));
}

TEST(SplitText, Gpt2DigitsStandApart) {
  EXPECT_THAT(split_text(SplitPattern::kGpt2Digits, "a 12  3"),
              ElementsAreArray(Pieces{"a", " ", "1", "2", "  ", "3"}));
}

struct CountInto {
  size_t* characters;
  void operator()(size_t count) const { *characters += count; }
};

template <SplitPattern pattern>
size_t characters_looked_at(const std::string& text) {
  size_t count = 0;
  PaddedBuffer buffer;
  PieceLexer<pattern, CountInto> lexer(buffer.assign(text), {&count});
  for (size_t position = 0; position < text.size();) position = lexer.piece_end(position);
  return count;
}

// Texts on which an engine that tries alternatives, or looks ahead to the end of a run, takes quadratic time.
TEST(SplitText, LooksAtEachCharacterABoundedNumberOfTimes) {
  constexpr size_t kLength = 1 << 14;
  for (const std::string_view unit :
       {" ",  "\n", " \n",    "a",       "A",       "Aa",     "aA",   "'",        "'s",  "1",      "!",
        "! ", "/",  "\u0301", "A\u0301", "A\u5168", "\u5168", "\xFF", "\xE5\x85", "\t ", "\u3000", "!\r"}) {
    std::string text;
    while (text.size() < kLength) text += unit;
    const size_t counts[] = {
        characters_looked_at<SplitPattern::kGpt2>(text),   characters_looked_at<SplitPattern::kGpt2Digits>(text),
        characters_looked_at<SplitPattern::kCl100k>(text), characters_looked_at<SplitPattern::kQwen2>(text),
        characters_looked_at<SplitPattern::kO200k>(text),  characters_looked_at<SplitPattern::kTekken>(text)};
    for (const size_t count : counts) EXPECT_LE(count, 8 * text.size()) << unit;
  }
}

TEST(SplitText, PiecesOfRandomBytesConcatenateToTheText) {
  for (uint64_t round = 0; round < 200; ++round) {
    std::string text;
    for (uint64_t i = 0; i < 64; ++i) text += static_cast<char>(random_u64(7, round, i) % (round % 2 ? 256 : 64));
    for (const SplitPattern pattern : kSplitPatterns) {
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
  for (const SplitPattern pattern : {SplitPattern::kGpt2, SplitPattern::kCl100k, SplitPattern::kQwen2,
                                     SplitPattern::kO200k, SplitPattern::kTekken}) {
    EXPECT_EQ(split_pattern_of(split_regex(pattern)), pattern);
  }
  EXPECT_FALSE(split_pattern_of(R"(\w+)").has_value());
}

}  // namespace
}  // namespace starling

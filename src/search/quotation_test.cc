// How posts are quoted: their sentences, which of them supports a statement, snippets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "search/sentences.h"
#include "search/snippet.h"
#include "search/support.h"

namespace starling {
namespace {

TEST(Sentences, EndWhereASentenceEnds) {
  struct Case {
    const char* text;
    std::vector<std::string> sentences;
  };
  const Case cases[] = {
      {"One. Two! Three?", {"One.", "Two!", "Three?"}},
      {"Dr. J. Smith paid 3.50 at shop.com today. Yes", {"Dr. J. Smith paid 3.50 at shop.com today.", "Yes"}},
      {"A wrapped\nline.\n\n> quoted text\nOwn text", {"A wrapped line.", "Own text"}},
      {"今天好。明天?", {"今天好。", "明天?"}},
      {"", {}},
      {"...", {"..."}}};
  for (const Case& c : cases) EXPECT_EQ(split_sentences(c.text), c.sentences) << c.text;
}

TEST(Support, NeedsTheWordsNumbersNamesAndNegationOfThePost) {
  const char* post = "The Nokia 3310 costs 40 euros in Berlin. It is not waterproof.";
  struct Case {
    const char* sentence;
    bool supported;
  };
  const Case cases[] = {{"The Nokia 3310 costs 40 euros.", true},
                        {"The Nokia 3310 costs 45 euros.", false},
                        {"The Nokia 3310 costs 40 euros in Paris.", false},
                        {"It is not waterproof.", true},
                        {"It is waterproof.", false},
                        {"The phone has a great camera.", false},
                        {"", false}};
  for (const Case& c : cases) EXPECT_EQ(!supporting_sentence(c.sentence, post).empty(), c.supported) << c.sentence;
}

TEST(Support, ComesFromOneSentenceWithItsNumbersAsWritten) {
  struct Case {
    const char *sentence, *post;
    bool supported;
  };
  const Case cases[] = {
      {"The Nokia 3310 costs 50 euros.", "The Nokia 3310 costs 40 euros. The Samsung costs 50 euros.", false},
      {"The Nokia costs 40 euros in Paris.", "The Nokia costs 40 euros in Berlin. I live in Paris.", false},
      {"Samsung costs 40 euros.", "Nokia costs 40 euros. Samsung is cheaper.", false},
      {"Ольга купила новый дом.", "Мария купила новый дом. Ольга рада.", false},
      {"The ferry to Skye leaves Mallaig at nine.", "The ferry to Skye leaves Mallaig at seven.", false},
      {"The ferry leaves at 7 sharp.", "The ferry leaves at 7:30 sharp.", false},
      {"The bag costs 15 euros.", "The bag costs 1,5 euros.", false},
      {"The bag costs 1200 euros.", "The bag costs 1,200 euros.", true},
      {"Prices fell 40%.", "Prices fell 40 euros.", false},
      {"The bag costs $40.", "The bag costs €40.", false},
      {"The bag costs $40.", "The bag costs $40.", true},
      {"It is waterproof.", "It isnt waterproof.", false},
  };
  for (const Case& c : cases)
    EXPECT_EQ(!supporting_sentence(c.sentence, c.post).empty(), c.supported) << c.sentence << " / " << c.post;
}

TEST(Snippet, IsEscapedBoundedAndNeverCutsACharacter) {
  EXPECT_EQ(make_snippet("<script>cats</script>", {"cat"}), "&lt;script&gt;<mark>cats</mark>&lt;/script&gt;");
  std::string text;
  for (int i = 0; i < 500; ++i) text += "é";
  const std::string snippet = make_snippet(text + " owl", {"owl"});
  EXPECT_THAT(snippet, testing::HasSubstr("<mark>owl</mark>"));
  EXPECT_LT(snippet.size(), 2 * kSnippetBytes);
  EXPECT_EQ(snippet.find('\xa9') != std::string::npos, true);
}

}  // namespace
}  // namespace starling

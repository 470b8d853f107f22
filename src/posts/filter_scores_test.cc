#include "posts/filter_scores.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/error.h"
#include "core/hash.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

TEST(FilterScores, AMarkedTextSaysWhereItsPersonalDataIs) {
  const MarkedText marked = parse_marked("to [[EMAIL:a@b.org]], [[PHONE:555-234-5678]]!");
  EXPECT_EQ(marked.text, "to a@b.org, 555-234-5678!");
  ASSERT_EQ(marked.spans.size(), 2u);
  EXPECT_EQ(marked.text.substr(marked.spans[1].begin, marked.spans[1].end - marked.spans[1].begin), "555-234-5678");
  EXPECT_EQ(parse_marked("a [b] [c").text, "a [b] [c");
  for (const char* text : {"[[EMAIL:a@b.org", "[[NAME:Bob]]", "[[EMAIL]]", "[["})
    EXPECT_THROW(parse_marked(text), DataError) << text;
}

TEST(FilterScores, CountsPersonalDataFoundMissedAndWrong) {
  const auto scores = score_personal_data(std::vector<MarkedText>{
      parse_marked("to [[EMAIL:a@b.org]] [[EMAIL:c@d.org]]"),        // both found
      parse_marked("to [[EMAIL:bob at example]]"),                   // missed
      parse_marked("[EMAIL] a@b.org [[PHONE:+44 20 7946 0958]]")});  // one not labelled, after a mark of the author's
  const Detection& email = scores[static_cast<size_t>(PersonalData::kEmail)];
  EXPECT_EQ(email.labelled, 3u);
  EXPECT_EQ(email.found, 2u);
  EXPECT_EQ(email.wrong, 1u);
  EXPECT_EQ(email.precision(), 2.0 / 3);
  EXPECT_EQ(email.recall(), 2.0 / 3);
  const Detection& phone = scores[static_cast<size_t>(PersonalData::kPhone)];
  EXPECT_EQ(phone.found, 1u);
  EXPECT_EQ(phone.wrong, 0u);
}

TEST(FilterScores, CountsLanguagesByLettersAndTakesUnknownForNoAnswer) {
  const std::vector<LabelledText> texts = {
      {"de", "Das Wetter ist heute wirklich schön und wir gehen an den Strand", ""},
      {"nl", "Das Wetter ist heute wirklich schön und wir gehen an den Strand", ""},
      {"en", "ok lol", ""}};
  const LanguageScores scores = score_languages(texts);
  EXPECT_EQ(scores.all.texts, 3u);
  EXPECT_EQ(scores.all.answered, 2u);
  EXPECT_EQ(scores.all.right, 1u);
  EXPECT_EQ(scores.by_letters.at(40).texts, 2u);
  EXPECT_EQ(scores.by_letters.at(5).answered, 0u);
  EXPECT_EQ(scores.by_language.at("nl").right, 0u);
}

TEST(FilterScores, CountsSpamOfALabelledFile) {
  const fs::path file = fs::temp_directory_path() / ("starling-labels-" + random_hex(8) + ".csv");
  std::ofstream(file)
      << "kind,body\nham,see you at the station\nspam,WINNER!! You have won a prize! Call now to claim\n"
         "spam,lunch tomorrow?\n";
  const auto texts = read_labelled(file, "kind", "body");
  fs::remove(file);
  const Detection score = score_spam(texts, "spam", 1.0);
  EXPECT_EQ(score.labelled, 2u);
  EXPECT_EQ(score.found, 1u);
  EXPECT_EQ(score.wrong, 0u);
  EXPECT_EQ(score.precision(), 1.0);
  EXPECT_EQ(score.recall(), 0.5);
  EXPECT_THROW(read_labelled(file, "kind", "body"), IoError);
}

TEST(FilterScores, CountsWhatAnAutomatonFillsIn) {
  std::vector<LabelledText> texts;
  for (int i = 0; i < 9; ++i)
    texts.push_back({"robot", "Sold item number " + std::to_string(i) + " in the shop today", "r"});
  for (const char* author : {"a", "b", "c"})
    texts.push_back({"person", "Sold item number 4 in the shop today", author});
  texts.push_back({"person", "WINNER!! You have won a prize! Call now to claim", "a"});
  const auto counts = count_automation(texts, 1.0, 5);
  EXPECT_EQ(counts.at("robot").texts, 9u);
  EXPECT_EQ(counts.at("robot").templates, 4u);
  EXPECT_EQ(counts.at("person").templates, 0u);
  EXPECT_EQ(counts.at("person").spam, 1u);
  EXPECT_EQ(counts.at("robot").feeds, 0u);  // nine posts are too few to tell
}

TEST(FilterScores, FiltersThatAreOffFindNothing) {
  const std::vector<LabelledText> texts = {{"spam", "WINNER!! You have won a prize! Call now to claim", "a"},
                                           {"ham", "Sold item number 4 in the shop today", "b"}};
  EXPECT_EQ(score_spam(texts, "spam", 0).found + score_spam(texts, "spam", 0).wrong, 0u);
  const auto counts = count_automation(texts, 0, 0);
  EXPECT_EQ(counts.at("spam").spam + counts.at("ham").spam, 0u);
  EXPECT_EQ(counts.at("spam").templates + counts.at("ham").templates, 0u);
}

TEST(FilterScores, CountsThePostsOfFeeds) {
  std::vector<LabelledText> texts;
  for (int i = 0; i < 60; ++i) {
    texts.push_back({"feed", "Council votes on budget item " + std::to_string(i), "city"});
    texts.push_back({"person", "they closed the road again " + std::to_string(i), "ann", {.addresses = i % 10 == 0}});
  }
  const auto counts = count_automation(texts, 1.0, 5);
  EXPECT_EQ(counts.at("feed").feeds, 60u);
  EXPECT_EQ(counts.at("person").feeds, 0u);
}

}  // namespace
}  // namespace starling

#include "search/query.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/random.h"
#include "core/time.h"
#include "search/words.h"

namespace starling {
namespace {

using Kind = QueryAtom::Kind;

std::vector<std::string> texts(const std::string& text) {
  std::vector<std::string> out;
  for (const Word& word : split_words(text)) out.push_back(word.text);
  return out;
}

TEST(Words, AreFoldedRunsOfLettersAndDigits) {
  struct Case {
    const char* text;
    std::vector<std::string> words;
  };
  const Case cases[] = {
      {"The BBC's #ClimateChange plan", {"the", "bbc's", "climatechange", "plan"}},
      {"don’t — 'quoted' end'", {"don't", "quoted", "end"}},
      {"see http://t.co/abc?x=1 and www.bbc.co.uk now", {"see", "and", "now"}},
      {"user_name @Some_One 3.5", {"user_name", "some_one", "3", "5"}},
      {"STRASSE straße ＡＢＣ", {"strasse", "strasse", "abc"}},
      {"中国人", {"中国", "国人"}},
      {"我 ok", {"我", "ok"}},
      {"привет МИР", {"привет", "мир"}},
      {"", {}},
      {"... !!! 😀", {}},
  };
  for (const Case& c : cases) EXPECT_EQ(texts(c.text), c.words) << c.text;
}

TEST(Words, KeepTheirPlaceInTheSource) {
  const std::string text = "Zoë’s 日本語 x";
  for (const Word& word : split_words(text)) {
    ASSERT_LE(word.end, text.size());
    ASSERT_LT(word.begin, word.end);
  }
  EXPECT_EQ(text.substr(split_words(text)[0].begin, split_words(text)[0].end), "Zoë’s");
}

TEST(Words, AreBoundedForAnyBytes) {
  EXPECT_EQ(split_words(std::string(1000, 'a')).front().text.size(), kMaxWordBytes);
  for (uint64_t round = 0; round < 500; ++round) {
    std::string bytes(random_u64(7, round, 0) % 60, '\0');
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(random_u64(7, round, i + 1));
    for (const Word& word : split_words(bytes)) {
      ASSERT_LE(word.text.size(), kMaxWordBytes);
      ASSERT_LE(word.end, bytes.size());
    }
  }
}

TEST(Words, CamelCaseTagsSplit) {
  EXPECT_EQ(split_camel_case("ClimateChange2019"), (std::vector<std::string>{"climate", "change", "2019"}));
  EXPECT_EQ(split_camel_case("BBCNews"), (std::vector<std::string>{"bbc", "news"}));
  EXPECT_EQ(split_camel_case("snake_case"), (std::vector<std::string>{"snake", "case"}));
  EXPECT_TRUE(split_camel_case("plain").empty());
  EXPECT_TRUE(split_camel_case("NASA").empty());
  EXPECT_TRUE(split_camel_case("").empty());
}

TEST(Query, ReadsEveryOperator) {
  const Query query = parse_query(
      "Vaccine \"flu shot\" from:@Alice in:Health lang:EN #Covid19 @Bob -scam since:2017-03-01 "
      "until:2017-03-31 min_likes:5 max_id:99 +must");
  const std::vector<QueryClause> expected = {
      {{{Kind::word, {"vaccine"}}}, false, false}, {{{Kind::phrase, {"flu", "shot"}}}, false, true},
      {{{Kind::author, {"alice"}}}, false, true},  {{{Kind::community, {"health"}}}, false, true},
      {{{Kind::language, {"en"}}}, false, true},   {{{Kind::hashtag, {"covid19"}}}, false, true},
      {{{Kind::mention, {"bob"}}}, false, true},   {{{Kind::word, {"scam"}}}, true, false},
      {{{Kind::word, {"must"}}}, false, true},
  };
  EXPECT_EQ(query.clauses, expected);
  EXPECT_EQ(query.since_s, parse_time("2017-03-01"));
  EXPECT_EQ(query.until_s, parse_time("2017-04-01"));  // a whole day
  EXPECT_EQ(query.min_likes, 5);
  EXPECT_EQ(query.max_id, 99u);
  EXPECT_EQ(query.text(), "vaccine flu shot covid19 must");
}

TEST(Query, NamesOfSeveralWordsStandInQuotationMarks) {
  const Query query = parse_query("rain in:\"Harbour Town\" -from:\"@Jane Doe\"");
  const std::vector<QueryClause> expected = {{{{Kind::word, {"rain"}}}, false, false},
                                             {{{Kind::community, {"harbour town"}}}, false, true},
                                             {{{Kind::author, {"jane doe"}}}, true, false}};
  EXPECT_EQ(query.clauses, expected);
}

TEST(Query, OrJoinsItsNeighbours) {
  const Query query = parse_query("cat OR dog OR #pet food");
  ASSERT_EQ(query.clauses.size(), 2u);
  EXPECT_EQ(query.clauses[0].alternatives.size(), 3u);
  EXPECT_TRUE(query.clauses[0].required);  // it holds a tag
  EXPECT_FALSE(query.clauses[1].required);
  EXPECT_FALSE(parse_query("cat OR dog").clauses[0].required);
}

TEST(Query, OtherColonsAndSignsAreText) {
  EXPECT_EQ(parse_query("12:30").clauses[0].alternatives[0], (QueryAtom{Kind::phrase, {"12", "30"}}));
  EXPECT_EQ(parse_query("e-mail").clauses[0].alternatives[0], (QueryAtom{Kind::phrase, {"e", "mail"}}));
  EXPECT_EQ(parse_query("rock - roll ... &").clauses.size(), 2u);
  EXPECT_EQ(parse_query("cats or dogs").clauses.size(), 3u);
}

TEST(Query, ErrorsNameThePositionAndWhatIsExpected) {
  struct Case {
    std::string query, message;
  };
  const Case cases[] = {
      {"a \"b c", "position 3: this quotation mark is never closed"},
      {"a \"\"", "position 3: this phrase has no word"},
      {"", "empty"},
      {" .. ", "empty"},
      {"-spam", "everything is excluded"},
      {"OR a", "position 1: OR needs"},
      {"a OR", "position 5: OR needs"},
      {"a OR OR b", "position 6: OR needs"},
      {"-a OR b", "position 4: OR cannot join an excluded"},
      {"a OR -b", "position 6: an item after OR"},
      {"from:", "position 1: `from:` needs a value"},
      {"in:\"\"", "position 1: `in:` needs a value"},
      {"in:\"harbour town", "position 4: this quotation mark is never closed"},
      {"x since:tomorrow", "position 3: `tomorrow` is not a time"},
      {"x until:9223372036854775807", "position 3: `9223372036854775807` is not a time"},
      {"x since:-9223372036854775808", "is not a time"},
      {"x min_likes:many", "position 3: `min_likes:` needs a whole number"},
      {"x min_likes:-1", "whole number"},
      {"x max_id:99999999999999999999999", "whole number"},
      {"x -since:2017-01-01", "cannot be excluded"},
      {"x since:2017-02-01 until:2017-01-01", "after `until:`"},
      {std::string(2000, 'a'), "at most 1024"},
  };
  for (const Case& c : cases) {
    try {
      parse_query(c.query);
      ADD_FAILURE() << "accepted: " << c.query;
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find(c.message), std::string::npos) << c.query << " -> " << error.what();
    }
  }
  std::string many;
  for (size_t i = 0; i <= kMaxQueryTerms; ++i) many += "w ";
  EXPECT_THROW(parse_query(many), DataError);
}

TEST(Query, AnyInputParsesOrGivesADataError) {
  const std::string pieces[] = {"from:",
                                "\"",
                                "-",
                                "+",
                                "OR",
                                " ",
                                "#",
                                "@",
                                "a",
                                "ü",
                                "中",
                                "since:2017-01-01",
                                "until:",
                                "min_likes:3",
                                "max_id:",
                                "lang:en",
                                "\xff",
                                "\xc3",
                                std::string(1, '\0'),
                                "in:x",
                                ":",
                                "'",
                                "word",
                                "\n"};
  for (uint64_t round = 0; round < 20000; ++round) {
    std::string text;
    const uint64_t length = random_u64(3, round, 0) % 12;
    for (uint64_t i = 0; i < length; ++i) text += pieces[random_u64(3, round, i + 1) % std::size(pieces)];
    try {
      const Query query = parse_query(text);
      size_t terms = 0;
      for (const QueryClause& clause : query.clauses) {
        ASSERT_FALSE(clause.alternatives.empty());
        for (const QueryAtom& atom : clause.alternatives) {
          ASSERT_FALSE(atom.words.empty());
          terms += atom.words.size();
        }
      }
      ASSERT_LE(terms, kMaxQueryTerms);
    } catch (const DataError&) {
    }
  }
}

}  // namespace
}  // namespace starling

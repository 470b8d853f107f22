#include "posts/post.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"
#include "core/random.h"
#include "posts/entities.h"

namespace starling {
namespace {

using Words = std::vector<std::string>;

TEST(PostJson, EveryFieldComesBack) {
  Post post;
  post.id = "1";
  post.author = "alice";
  post.time_s = 1488369600;
  post.text = "two\nlines \"quoted\" \\ tab\t bell\x07 naïve 🐦";
  post.language = "en";
  post.community = "birds";
  post.reply_to = "0";
  post.quote_of = "9";
  post.hashtags = {"Birds"};
  post.mentions = {"bob"};
  post.urls = {"https://example.org/a"};
  post.likes = 3;
  post.reposts = 2;
  post.replies = 1;
  EXPECT_EQ(post_from_json(to_json_line(post)), post);
  EXPECT_EQ(to_json_line(post).find('\n'), std::string::npos);
}

TEST(PostJson, EmptyFieldsAreLeftOut) {
  Post post;
  post.id = "1";
  post.text = "x";
  EXPECT_EQ(to_json_line(post), R"({"id":"1","text":"x"})");
}

TEST(PostJson, NumbersServeAsIdsAndSecondsAsTime) {
  const Post post =
      post_from_json(R"({"id":29098694198280192,"author":7,"time":1488369600,"text":"x","likes":-3,"extra":{}})");
  EXPECT_EQ(post.id, "29098694198280192");
  EXPECT_EQ(post.author, "7");
  EXPECT_EQ(post.time_s, 1488369600);
  EXPECT_EQ(post.likes, 0);
}

TEST(PostJson, EntitiesAreReadFromTheTextUnlessGiven) {
  EXPECT_EQ(post_from_json(R"({"id":"1","text":"#a @b"})").hashtags, Words{"a"});
  EXPECT_EQ(post_from_json(R"({"id":"1","text":"#a @b","hashtags":[]})").hashtags, Words{});
  const Post post = post_from_json(R"({"id":"1","text":"it&#x27;s at http://a.org/?b=1&amp;c=2"})");
  EXPECT_EQ(post.hashtags, Words{});
  EXPECT_EQ(post.urls, Words{"http://a.org/?b=1&c=2"});
}

TEST(PostJson, TimesOfFourDigitYearsComeBack) {
  Post post{.id = "1", .text = "x"};
  for (const int64_t time_s : {int64_t{-62'167'219'200}, int64_t{-1}, int64_t{253'402'300'799}}) {
    post.time_s = time_s;
    EXPECT_EQ(post_from_json(to_json_line(post)), post);
  }
  for (const int64_t time_s : {int64_t{-62'167'219'201}, int64_t{253'402'300'800}, int64_t{1'700'000'000'000'000},
                               std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    post.time_s = time_s;
    EXPECT_THROW(check_post(post), DataError) << time_s;
  }
}

TEST(PostJson, AnErrorNamesTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"text":"x"})", "id"},
      {R"({"id":"1"})", "text"},
      {R"({"id":"1","text":""})", "text"},
      {R"({"id":"1","text":5})", "text"},
      {R"({"id":"1","text":"x","time":"yesterday"})", "time"},
      {R"({"id":"1","text":"x","time":253402300800})", "time"},  // of the year 10000: no text that is read again
      {R"({"id":"1","text":"x","time":-62167219201})", "time"},  // before the year 0
      {R"({"id":"1","text":"x","likes":"many"})", "likes"},
      {R"({"id":"1","text":"x","hashtags":"a"})", "hashtags"},
      {R"({"id":"a\nb","text":"x"})", "id"},
      {"[1]", "object"},
      {"{", "JSON"},
      {"{\"id\":\"1\",\"text\":\"\xff\"}", "UTF"},
  };
  for (const auto& [json, part] : cases) {
    try {
      post_from_json(json);
      ADD_FAILURE() << json;
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << json << " -> " << error.what();
    }
  }
}

TEST(PostJson, DamagedLinesThrowDataErrorOrParse) {
  const std::string whole =
      R"({"id":"1","author":"a","time":"2017-03-01T12:00:00Z","text":"caf\u00e9 \ud83d\ude00","likes":12,"hashtags":["x"]})";
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_THROW(post_from_json(whole.substr(0, size)), DataError) << size;
  for (int round = 0; round < 5000; ++round) {
    std::string damaged = whole;
    damaged[random_u64(3, 0, round) % whole.size()] ^= static_cast<char>(1 << (round % 8));
    try {
      check_post(post_from_json(damaged));
    } catch (const DataError&) {
    }
  }
}

TEST(Entities, FollowWordBoundaries) {
  struct Case {
    const char* text;
    Words hashtags, mentions, urls;
  };
  const Case cases[] = {
      {"I love #Birds and #birds!", {"Birds", "birds"}, {}, {}},
      {"issue #42 is not a tag, #42a is", {"42a"}, {}, {}},
      {"mail bob@example.org, ask @bob.", {}, {"bob"}, {}},
      {"#新型冠状病毒# 听说 #Москва", {"新型冠状病毒", "Москва"}, {}, {}},
      {"see https://t.co/jkB6waj9WK. (http://a.b/c#frag)", {}, {}, {"https://t.co/jkB6waj9WK", "http://a.b/c#frag"}},
      {"a#b c@d", {}, {}, {}},
      {"#हिन्दी", {"हिन्दी"}, {}, {}},
      {"# @ http://", {}, {}, {}},
      {"bad \xff#tag", {"tag"}, {}, {}},
  };
  for (const Case& c : cases) {
    const Entities found = find_entities(c.text);
    EXPECT_EQ(found.hashtags, c.hashtags) << c.text;
    EXPECT_EQ(found.mentions, c.mentions) << c.text;
    EXPECT_EQ(found.urls, c.urls) << c.text;
  }
}

}  // namespace
}  // namespace starling

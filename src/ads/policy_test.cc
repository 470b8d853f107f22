#include "ads/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ads/auction.h"
#include "ads/copywriter.h"

namespace starling {
namespace {

TEST(Policy, SensitiveTopicsAndTheirProxiesAreFoundInSeveralLanguages) {
  const struct {
    const char *text, *topic;
  } kCases[] = {
      {"people with diabetes", "health"},
      {"#cancersurvivor", "health"},
      {"insulin pumps", "health"},
      {"-pregnant", "health"},
      {"gesundheit", "health"},
      {"здоровье", "health"},
      {"weight loss", "health"},
      {"糖尿病 健康", "health"},
      {"#muslim", "religion"},
      {"Ramadan offers", "religion"},
      {"kirche", "religion"},
      {"#PrayForParis", "religion"},
      {"churches", "religion"},
      {"élection", "politics"},
      {"#MAGA", "politics"},
      {"republican voters", "politics"},
      {"выборы", "politics"},
      {"#BlackLivesMatter", "politics"},
      {"right wing", "politics"},
      {"lesbian", "sexuality"},
      {"#LGBTQpride", "sexuality"},
      {"同性恋", "sexuality"},
      {"black women", "ethnicity"},
      {"latinos", "ethnicity"},
      {"immigrants", "ethnicity"},
      {"teenagers", "minors"},
      {"kids in school", "minors"},
      {"under 18", "minors"},
      {"Schüler", "minors"},
      {"ＫＩＤＳ", "minors"},
  };
  for (const auto& c : kCases) {
    const auto found = find_sensitive_topic(c.text);
    ASSERT_TRUE(found.has_value()) << c.text;
    EXPECT_EQ(found->topic, c.topic) << c.text;
  }
}

TEST(Policy, OrdinaryTopicsAreNotSensitive) {
  for (const char* text :
       {"linux laptop", "#opensource", "coffee roasting", "black friday", "std::vector", "straight from the roaster",
        "perl hackers", "mountain bikes", "kernel", "the white paper", "childproof" /* not a word of the list */}) {
    EXPECT_FALSE(find_sensitive_topic(text).has_value()) << text;
  }
}

TEST(Policy, AudiencesOfPeopleAreRefused) {
  for (const char* query :
       {"from:alice", "laptop -from:bob", "@carol", "FROM:alice", "ｆｒｏｍ:alice", "linux -church"}) {
    EXPECT_TRUE(refuse_audience("x", query).has_value()) << query;
  }
  EXPECT_TRUE(refuse_audience("Muslims", "linux").has_value());
  EXPECT_FALSE(refuse_audience("Linux people", "+linux in:debian since:2001-01-01").has_value());
}

TEST(Policy, PhrasesLengthAndHiddenTextAreChecked) {
  Brief brief;
  brief.must = {"Harbour"};
  brief.must_not = {"CHEAP"};
  brief.max_graphemes = 30;
  EXPECT_TRUE(policy_problems(brief, "Harbour coffee", "Beans.").empty());
  EXPECT_TRUE(policy_problems(brief, "ｈａｒｂｏｕｒ coffee", "Beans.").empty());
  EXPECT_THAT(policy_problems(brief, "Coffee", "Beans."),
              testing::ElementsAre(testing::HasSubstr("“Harbour” is missing")));
  EXPECT_THAT(policy_problems(brief, "Harbour", "A cheap cup."),
              testing::ElementsAre(testing::HasSubstr("not allowed")));
  EXPECT_THAT(policy_problems(brief, "Harbour", std::string(40, 'a')),
              testing::ElementsAre(testing::HasSubstr("the brief allows 30")));
  EXPECT_THAT(policy_problems(brief, "Harbour", ""), testing::ElementsAre(testing::HasSubstr("no body")));
  EXPECT_THAT(policy_problems(brief, "Harbour", "a\u200Bb"), testing::ElementsAre(testing::HasSubstr("U+200B")));
  EXPECT_THAT(policy_problems(brief, "Harbour", "For diabetics: insulin"),
              testing::ElementsAre(testing::HasSubstr("health")));
}

TEST(Policy, TheLabelSaysWhoPays) {
  Brief brief;
  brief.payer = "Harbour Ltd";
  EXPECT_EQ(ad_label(brief), "AI-generated ad · paid for by Harbour Ltd");
}

TEST(SecondPrice, TheWinnerPaysTheLeastThatStillWins) {
  const struct {
    std::vector<Bid> bids;
    int winner;
    int64_t price;
  } kCases[] = {
      {{}, -1, 0},
      {{{"a", "a1", 5000, 1.0}}, 0, 1000},  // alone: the reserve
      {{{"a", "a1", 999, 1.0}}, -1, 0},     // below the reserve
      {{{"a", "a1", 5000, 0.0}}, -1, 0},    // not about the page
      {{{"a", "a1", 5000, 1.0}, {"b", "b1", 3000, 1.0}}, 0, 3001},
      {{{"a", "a1", 5000, 0.5}, {"b", "b1", 3000, 1.0}}, 1, 2501},                          // relevance counts
      {{{"a", "a1", 5000, 1.0}, {"b", "b1", 5000, 1.0}, {"c", "c1", 100, 1.0}}, -2, 5000},  // a tie pays the bid
      {{{"a", "a1", 5000, 1.0}, {"b", "b1", 500, 1.0}}, 0, 1000},  // a bid below the reserve sets no price
  };
  for (const auto& c : kCases) {
    const auto outcome = second_price(c.bids, 1000, "r1");
    ASSERT_EQ(outcome.has_value(), c.winner != -1);
    if (!outcome) continue;
    if (c.winner >= 0) {
      EXPECT_EQ(outcome->winner, static_cast<size_t>(c.winner));
    }
    EXPECT_EQ(outcome->price_micros, c.price);
  }
}

TEST(SecondPrice, ATieDoesNotDependOnTheOrder) {
  const Bid a{"a", "a1", 5000, 1.0}, b{"b", "b1", 5000, 1.0};
  for (const char* request : {"r1", "r2", "r3", "r4"}) {
    const auto forward = second_price({a, b}, 1000, request), backward = second_price({b, a}, 1000, request);
    EXPECT_EQ(forward->winner, 1 - backward->winner);
  }
}

TEST(ContextRelevance, CountsTheKeywordsThatThePageSpeaksOf) {
  const std::set<std::string> keywords = {"laptop", "linux", "kernel", "memory"};
  EXPECT_DOUBLE_EQ(context_relevance(keywords, ""), kUnknownContextRelevance);
  EXPECT_DOUBLE_EQ(context_relevance(keywords, "cats and dogs"), 0.0);
  EXPECT_DOUBLE_EQ(context_relevance(keywords, "Laptops!"), 1.0 / 3);
  std::vector<std::string> matched;
  EXPECT_DOUBLE_EQ(context_relevance(keywords, "the LINUX kernel needs memory on a laptop", &matched), 1.0);
  EXPECT_EQ(matched.size(), 4u);
}

TEST(SplitCopy, TakesMarkupAndHalfSentencesAway) {
  const struct {
    const char *text, *headline, *body;
  } kCases[] = {
      {"Headline: \"Lemur Pro\"\nText: With 16 GB memory. And", "Lemur Pro", "With 16 GB memory."},
      {"**Lemur Pro**\n\nWith 16 GB memory.", "Lemur Pro", "With 16 GB memory."},
      {"Lemur Pro. With 16 GB memory.", "Lemur Pro", "With 16 GB memory."},
      {"1.2 kg", "1", "2 kg"},
      {"", "", ""},
      {"\n \n", "", ""},
      {"Lemur Pro:\nOne.\nTwo.", "Lemur Pro", "One. Two."},
  };
  for (const auto& c : kCases) {
    const Draft draft = split_copy(c.text);
    EXPECT_EQ(draft.headline, c.headline) << c.text;
    EXPECT_EQ(draft.body, c.body) << c.text;
  }
}

}  // namespace
}  // namespace starling

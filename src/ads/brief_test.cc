#include "ads/brief.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "ads/ads_json.h"
#include "core/error.h"
#include "core/random.h"
#include "core/time.h"

namespace starling {
namespace {

const std::string kBrief = R"(advertiser = "Harbour Roasters"
payer = "Harbour Roasters Ltd"
product = "Harbour coffee"
landing_page = "https://harbour.example/coffee"
currency = "USD"
budget = "12.50"
max_bid = 0.02
time_zone = "Europe/Berlin"
start = 2026-03-29
end = 2026-10-25
find_audiences = true
must = ["Harbour"]

[[facts]]
id = "price"
name = "price of a bag"
value = 12.9
unit = "USD"
valid_to = 2026-12-31

[[facts]]
id = "sugar"
name = "sugar"
value = false
)";

std::string error_of(const std::string& toml) {
  try {
    brief_from_toml(toml, "brief.toml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Brief, ReadsMoneyExactlyAndDaysInTheirTimeZone) {
  const Brief brief = brief_from_toml(kBrief, "brief.toml");
  EXPECT_EQ(brief.budget_micros, 12'500'000);
  EXPECT_EQ(brief.max_bid_micros, 20'000);
  EXPECT_EQ(format_time(*brief.starts_s), "2026-03-28T23:00:00Z");  // midnight in Berlin, winter time
  EXPECT_EQ(format_time(*brief.ends_s), "2026-10-25T23:00:00Z");    // the last day has 25 hours
  ASSERT_EQ(brief.facts.size(), 2u);
  EXPECT_EQ(brief.facts[0].value, "12.9");
  EXPECT_EQ(brief.facts[1].value, "false");
  EXPECT_TRUE(brief.facts[0].valid_at(*parse_time("2026-12-31T22:59:59Z")));
  EXPECT_FALSE(brief.facts[0].valid_at(*parse_time("2026-12-31T23:00:00Z")));
}

TEST(Brief, SurvivesAJsonRoundTrip) {
  const Brief brief = brief_from_toml(kBrief, "brief.toml");
  EXPECT_EQ(brief_from_json(nlohmann::json(brief).dump()), brief);
}

TEST(Brief, IsReadBackAsItWasStored) {
  for (const std::string last : {"9999-12-31", "\"9999-12-31T23:59:59Z\"", "\"253402300799\""}) {
    const std::string text = replaced(kBrief, "Europe/Berlin", "America/New_York");
    const Brief brief = brief_from_toml(replaced(text, "2026-10-25", last), "brief.toml");
    EXPECT_EQ(brief_from_json(nlohmann::json(brief).dump()), brief) << last;
  }
  std::string large = kBrief;  // as much as may come; the stored JSON escapes its quotation marks
  for (int i = 0; large.size() + 2100 < (256 << 10); ++i)
    large += "[[facts]]\nid = \"f" + std::to_string(i) + "\"\nvalue = 1\nname = '" + std::string(1000, '"') +
             "'\nunit = '" + std::string(1000, '"') + "'\n";
  const Brief brief = brief_from_toml(large, "brief.toml");
  EXPECT_EQ(stored_brief(nlohmann::json(brief).dump(), "brief"), brief);
}

TEST(Brief, TenDigitsAreSeconds) {
  const Brief brief = brief_from_toml(replaced(kBrief, "2026-10-25", "\"1790000000\""), "brief.toml");
  EXPECT_EQ(brief.ends_s, 1790000000);
}

TEST(Brief, AnUnknownKeyIsNamedWithItsLineAndTheNearestKey) {
  EXPECT_THAT(error_of(replaced(kBrief, "must =", "musst =")),
              testing::AllOf(testing::HasSubstr("brief.toml:12"), testing::HasSubstr("`musst`"),
                             testing::HasSubstr("did you mean `must`")));
  EXPECT_THAT(error_of(replaced(kBrief, "valid_to", "valid_til")),
              testing::AllOf(testing::HasSubstr("brief.toml:19"), testing::HasSubstr("did you mean `valid_to`")));
}

TEST(Brief, EveryWrongValueIsAClearError) {
  const struct {
    const char *from, *to, *message;
  } kCases[] = {
      {"payer = \"Harbour Roasters Ltd\"\n", "", "`payer` is missing"},
      {"payer = \"Harbour Roasters Ltd\"", "payer = 7", "must be text"},
      {"https://harbour.example/coffee", "javascript:alert(1)", "must be a URL"},
      {"https://harbour.example/coffee", "http://harbour.example", "must be a URL"},
      {"\"USD\"\nbudget", "\"US\"\nbudget", "ISO 4217"},
      {"\"USD\"\nbudget", "\"XQZ\"\nbudget", "ISO 4217"},
      {"\"12.50\"", "\"12,50\"", "must be an amount"},
      {"\"12.50\"", "0", "must be more than 0"},
      {"\"12.50\"", "-1", "must be more than 0"},
      {"\"12.50\"", "nan", "must be more than 0"},
      {"\"12.50\"", "1e30", "must be more than 0"},
      {"max_bid = 0.02", "max_bid = 13", "more than the budget"},
      {"Europe/Berlin", "Mars/Olympus", "IANA"},
      {"start = 2026-03-29", "start = 2027-03-29", "before `start`"},
      {"start = 2026-03-29", "start = \"soon\"", "must be a day"},
      {"start = 2026-03-29", "start = \"-62200000000\"", "must be a day"},
      {"end = 2026-10-25", "end = \"253402300800\"", "must be a day"},
      {"id = \"sugar\"", "id = \"price\"", "id of an earlier fact"},
      {"id = \"sugar\"", "id = \"No Sugar\"", "lower-case letters"},
      {"value = false", "value = [1]", "must be text, a number"},
      {"value = false", "", "has no `value`"},
      {"find_audiences = true", "find_audiences = false", "name some"},
      {"find_audiences = true", "find_audiences = 1", "true or false"},
      {"must = [\"Harbour\"]", "must = [1]", "phrases in quotes"},
      {"must = [\"Harbour\"]", "max_graphemes = 5", "from 20 to 2000"},
      {"must = [\"Harbour\"]", "must = [", "brief.toml:"},
      {"\"Harbour coffee\"", "\"Harbour\\u0007\"", "control character"},
  };
  for (const auto& c : kCases)
    EXPECT_THAT(error_of(replaced(kBrief, c.from, c.to)), testing::HasSubstr(c.message)) << c.from << " -> " << c.to;
}

TEST(Brief, TruncatedAndFlippedBriefsNeverCrash) {
  for (size_t size = 0; size < kBrief.size(); ++size) error_of(kBrief.substr(0, size));
  for (int round = 0; round < 300; ++round) {
    std::string text = kBrief;
    const uint64_t bit = random_u64(5, 0, round) % (text.size() * 8);
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
    error_of(text);
  }
  for (const char* json : {"", "[]", "{", "{\"facts\":[{}]}", "{\"facts\":{}}", "null"})
    EXPECT_THROW(brief_from_json(json), ConfigError) << json;
  EXPECT_THROW(brief_from_toml(std::string(300 << 10, ' '), "big.toml"), ConfigError);
}

}  // namespace
}  // namespace starling

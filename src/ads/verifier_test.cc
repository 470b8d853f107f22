#include "ads/verifier.h"

#include <gtest/gtest.h>

#include "ads/text_scan.h"
#include "core/error.h"
#include "core/random.h"
#include "core/time.h"

namespace starling {
namespace {

constexpr const char* kBrief = R"(
advertiser = "Lemur"
payer = "Lemur Computers Ltd"
product = "Lemur Pro laptop"
landing_page = "https://lemur.example/pro"
currency = "USD"
budget = 10
find_audiences = true
facts = [
  {id = "price", name = "price", value = 1299.00, unit = "USD", valid_to = "2026-12-31"},
  {id = "care", name = "support plan price", value = 12.5, unit = "USD/month"},
  {id = "memory", name = "memory", value = 16, unit = "GB"},
  {id = "storage", name = "storage", value = 512, unit = "GB"},
  {id = "display", name = "display size", value = 14, unit = "inch"},
  {id = "weight", name = "weight", value = 1.2, unit = "kg"},
  {id = "battery", name = "battery life", value = "up to 18 hours"},
  {id = "charge", name = "charging time", value = "60-90 minutes"},
  {id = "warranty", name = "warranty", value = 3, unit = "years"},
  {id = "ports", name = "ports", value = 4, unit = "ports"},
  {id = "cpu", name = "processor", value = "Intel Core i7-1360P with 12 cores"},
  {id = "system", name = "operating system", value = "Debian Linux"},
  {id = "open", name = "open source firmware", value = true},
  {id = "bloat", name = "preinstalled trial software", value = false},
  {id = "fan", name = "noise", value = "no fan"},
  {id = "shipping", name = "shipping", value = "free in Norway and Sweden"},
  {id = "test", name = "award", value = "best laptop of 2026 by Linux Magazine"},
  {id = "ships", name = "ships from", value = "2026-12-24"},
  {id = "recycled", name = "recycled aluminium", value = 75, unit = "%"},
  {id = "customers", name = "customers", value = 25000},
  {id = "old", name = "discount voucher", value = 100, unit = "USD", valid_to = "2026-01-31"},
])";

const Brief& brief() {
  static const Brief kParsed = brief_from_toml(kBrief, "test.toml");
  return kParsed;
}

std::vector<Claim> claims_of(const std::string& body, const std::string& headline = "Lemur Pro laptop") {
  const FactLedger ledger(brief(), *parse_time("2026-06-01"));
  return verify_claims(ledger, headline, body);
}

bool all_supported(const std::vector<Claim>& claims) {
  return std::all_of(claims.begin(), claims.end(), [](const Claim& claim) { return claim.supported; });
}

std::string reasons(const std::vector<Claim>& claims) {
  std::string out;
  for (const Claim& claim : claims)
    out += "[" + claim.text + " -> " + (claim.supported ? claim.fact_id : claim.reason) + "] ";
  return out;
}

TEST(Verifier, AcceptsWhatTheFactsProve) {
  const char* const kTrue[] = {
      "The Lemur Pro laptop with 16 GB memory.",
      "Memory: 16 GB.",
      "16GB memory and 512 GB storage.",
      "Memory of 16 GB and storage of 512 GB.",
      "512 GB of storage and 16 GB of memory.",
      "A 14-inch display.",
      "A 14\" display.",
      "A fourteen inch display.",
      "It has a weight of 1.2 kg.",
      "Weight 1200 g.",
      "Weight: 1,200 grams.",
      "Order today for 1299 USD.",
      "Order today for $1,299.",
      "Order today for $1,299.00.",
      "The price is US$1299.",
      "The price is 1299 dollars.",
      "Only $1299.",
      "The laptop is priced at 1299 USD and comes with 16 GB memory.",
      "Up to 18 hours of battery life.",
      "Battery life up to eighteen hours.",
      "Charging time: 60-90 minutes.",
      "Charging time 1 to 1.5 hours.",
      "Charging time from 60 minutes.",
      "3 years of warranty.",
      "Three years warranty.",
      "A 36 month warranty.",
      "4 ports.",
      "The Intel Core i7-1360P processor.",
      "An Intel processor with 12 cores.",
      "Debian Linux.",
      "It runs Debian Linux.",
      "Open source firmware.",
      "No preinstalled trial software.",
      "Without preinstalled trial software.",
      "Free of preinstalled trial software.",
      "No fan.",
      "Free shipping in Norway and Sweden.",
      "The best laptop of 2026 by Linux Magazine: an award.",
      "An award: best laptop of 2026 by Linux Magazine.",
      "Ships from 24 December 2026.",
      "It ships from December 24, 2026.",
      "It ships from 24.12.2026.",
      "It ships from the 24th of December.",
      "It ships from December 2026.",
      "75 % recycled aluminium.",
      "Seventy-five percent recycled aluminium.",
      "More than 20,000 customers.",
      "25,000 customers.",
      "25k customers.",
      "Twenty-five thousand customers.",
      "A support plan for 12.50 USD per month.",
      "A support plan for $12.50/month.",
      "A support plan price of $12.50 a month.",
      "Meet the Lemur Pro laptop. Discover it today.",
      "Learn more.",
      "Looking for a laptop?",
      "Shipping is free in Norway and Sweden.",
      "3 years of warranty and shipping is free in Norway and Sweden.",
      "16 GB memory and free shipping in Norway and Sweden.",
      "Free shipping in Norway and Sweden with 16 GB memory.",
      "A Debian Linux laptop of recycled aluminium and with open source firmware.",
      "Up to 18 hours of battery life and no fan.",
      "16 GB memory with no fan.",
      "16 GB memory and without preinstalled trial software and no fan.",
      "Free shipping in Norway and Sweden and no fan.",
      "Free shipping in Norway and Sweden: 3 years of warranty.",
      "Battery life up to 18 hours: 16 GB of memory.",
      "１６ GB memory.",  // full-width digits
      "١٦ GB memory.",    // Arabic-Indic digits
  };
  for (const char* body : kTrue) {
    const std::vector<Claim> claims = claims_of(body);
    EXPECT_TRUE(all_supported(claims)) << body << "\n  " << reasons(claims);
  }
}

TEST(Verifier, RejectsWhatNoFactProves) {
  const char* const kFalse[] = {
      "16 TB memory.",   // unit swapped
      "16 Gb memory.",   // bits are not bytes
      "160 GB memory.",  // off by ten
      "1.6 GB memory.",
      "32 GB memory.",
      "512 GB memory and 16 GB storage.",  // values swapped
      "Memory of 512 GB and storage of 16 GB.",
      "16 GB storage.",
      "512 GB with memory.",
      "Priced at 16 USD and with 1299 GB memory.",
      "A 15-inch display.",
      "A 14 cm display.",
      "Forty inch display.",
      "Weight 1.2 g.",
      "Weight 12 kg.",
      "Weight under 1 kg.",
      "Order today for $129.90.",
      "Order today for 12.99 USD.",
      "Order today for 1299 EUR.",  // currency swapped
      "Order today for €1299.",
      "Order today for £1,299.00.",
      "From 999 USD.",
      "Under 1000 dollars.",
      "Only $1,299 per month.",      // a rate that no fact gives
      "A support plan for $12.50.",  // the rate left out
      "A support plan for 12.50 USD per year.",
      "18 hours of battery life.",  // the bound left out
      "At least 18 hours of battery life.",
      "More than 18 hours of battery life.",
      "Up to 20 hours of battery life.",
      "Up to 80 hours of battery life.",
      "Battery life up to eighty hours.",
      "Charging time 60 minutes.",
      "Charging time under 60 minutes.",
      "5 years of warranty.",
      "A thirty year warranty.",
      "A lifetime warranty.",
      "5 ports.",
      "The Intel Core i9-1360P processor.",
      "The AMD processor.",
      "An Intel processor with 16 cores.",
      "Windows.",
      "It runs Ubuntu Linux.",
      "Made in Switzerland.",
      "Preinstalled trial software.",  // the fact denies it
      "With preinstalled trial software.",
      "No software.",  // more than the fact denies
      "No storage.",
      "No noise.",
      "Without a battery.",
      "Not only a laptop without trial software.",  // two negations
      "Never 16 GB memory.",
      "Free shipping.",  // the condition left out
      "Free shipping in Norway.",
      "Free memory.",
      "Free.",
      "From 24 GB memory.",
      "Memory: 512 GB.",
      "The best laptop.",
      "The best display.",
      "The best laptop of 2025 by Linux Magazine.",
      "The #1 laptop.",
      "The number one laptop.",
      "The cheapest laptop.",
      "Better than Windows.",
      "The only laptop with Linux.",
      "A guaranteed 16 GB of memory.",
      "The laptop is always open.",
      "Ships from 25 December 2026.",
      "Ships from 24 December 2027.",
      "Ships from 12 November 2026.",
      "Ships from 03/04/2026.",         // two readings
      "Order until 24 December 2026.",  // the fact is when it ships
      "75 % recycled steel.",
      "7.5 % recycled aluminium.",
      "100% recycled aluminium.",
      "Fully recycled aluminium.",
      "More than 25,000 customers.",
      "250,000 customers.",
      "25 million customers.",
      "A discount voucher of 100 USD.",  // expired
      "A discount voucher.",
      "A fast laptop.",  // puffery is a statement too
      "A beautiful display.",
      "Loved by Linus Torvalds.",
      "Save 50 percent.",
      "Half the price.",
      "Twice the memory.",
      "1¹6 GB memory.",     // superscript digit
      "Lеmur Pro laptop.",  // Cyrillic е
      "𝐁est laptop.",       // mathematical letter
      "Bеst lаptop.",
      "zwei Jahre Garantie.",
      "🏆 laptop.",
      "Zero preinstalled customers.",
      "Ships until 24 December 2026.",  // the fact says from
      "Ships before the 24th of December.",
      "It ships on 24 December 2026.",
      "The price is 1299 USD off.",  // a discount, not the price
      "75 % of 75 % recycled aluminium.",
      "16 GB memory per month.",  // a rate behind the noun
      "Per month 1299 USD.",
      "25,000 customers a day.",
      "16 GB of memory each.",
      "Charging time over 60-90 minutes.",  // a bound before a range
      "Over 16+ GB memory.",
      "-16 GB memory.",
      "A$1299.",      // another country's dollar
      "With a fan.",  // an invitation to fans elsewhere
      "No fan or noise.",
      "Free shipping in Norway and Sweden and free memory.",
      "Free shipping and support plan in Norway and Sweden.",
      "Free memory in Norway and Sweden shipping.",
      "The award of 2026: best laptop by Linux Magazine and best processor.",
      "Free 16 GB memory and shipping in Norway and Sweden.",  // what free is said of
      "Free Debian Linux and shipping in Norway and Sweden.",
      "Memory and shipping are free in Norway and Sweden.",
      "3 years of warranty and shipping free in Norway and Sweden.",
      "The laptop is free and with shipping in Norway and Sweden.",
      "An open source processor.",  // words of two facts
      "A recycled battery.",
      "A Debian support plan.",
      "32 GB memory and no fan.",  // what stands beside a denial
      "18 hours of battery life and no fan.",
      "512 GB and no fan.",
      "16 GB memory and no fan noise.",
      "16 GB memory and no software.",
      "16 GB memory and no less.",
      "16 GB memory and no storage.",
      "No fan and 16 GB memory.",  // may deny both
      "Never 16 GB memory and no fan.",
      "Not 16 GB memory and no fan.",
      "No fan with no preinstalled trial software.",
      "Free shipping and no fan in Norway and Sweden.",
      "Free shipping and no fan.",
      "1299 USD and no preinstalled trial software per month.",
      "16 GB memory or no fan.",
      "16 GB memory and no 512 GB storage.",
      "Only 16 GB memory and no 4 ports.",
      "The best processor and no fan.",
      "A fan and no preinstalled trial software.",
      "Memory: 512 GB of storage.",  // a colon behind a name
      "3 years of warranty and memory: 512 GB of storage.",
      "3 years of warranty for memory: 512 GB of storage.",
      "Storage and 16 GB memory: 512 GB.",
      "Storage and 16 GB memory: 512 GB of memory.",
      "Free shipping in Norway and Sweden: 512 GB of memory.",
      "Free shipping in Norway and Sweden and memory: 512 GB of storage.",
      "Free shipping: 3 years of warranty.",
      "Free shipping in Norway and Sweden: 5 years of warranty.",
      "Shipping in Norway and Sweden: free 16 GB memory.",
      "3 years of warranty every two weeks.",
  };
  for (const char* body : kFalse) {
    const std::vector<Claim> claims = claims_of(body);
    EXPECT_FALSE(all_supported(claims)) << body << "\n  " << reasons(claims);
  }
}

TEST(Verifier, ADollarIsThatOfItsLettersAndABitRateThatOfItsCase) {
  const Brief canadian = brief_from_toml(R"(
advertiser = "Lemur"
payer = "Lemur Computers Ltd"
product = "Lemur router"
landing_page = "https://lemur.example/"
currency = "CAD"
budget = 10
find_audiences = true
facts = [{id = "price", name = "price", value = 99, unit = "CAD"},
         {id = "speed", name = "speed", value = 100, unit = "Mbps"},
         {id = "noise", name = "noise", value = 0, unit = "dB"}]
)",
                                         "test.toml");
  const FactLedger ledger(canadian, *parse_time("2026-06-01"));
  const auto proven = [&](const char* body) { return all_supported(verify_claims(ledger, "Lemur router", body)); };
  for (const char* body : {"The price is $99.", "A speed of 100 Mbps.", "A speed of 0.1 Gbps.", "No noise."})
    EXPECT_TRUE(proven(body)) << body;
  for (const char* body : {"The price is US$99.", "The price is A$99.", "A speed of 100 MBps."})
    EXPECT_FALSE(proven(body)) << body;
}

Brief coffee_brief(const std::string& facts) {
  return brief_from_toml(R"(
advertiser = "Harbour"
payer = "Harbour Ltd"
product = "Harbour coffee"
landing_page = "https://harbour.example/"
currency = "USD"
budget = 10
find_audiences = true
facts = [)" + facts + "]\n",
                         "test.toml");
}

TEST(Verifier, FactsAboutTheProductItselfMayBeSaidTogether) {
  const Brief coffee = coffee_brief(R"(
    {id = "organic", name = "organic coffee", value = true},
    {id = "beans", name = "coffee beans", value = "whole"},
    {id = "delivery", name = "delivery", value = "by mail"})");
  const FactLedger ledger(coffee, *parse_time("2026-06-01"));
  EXPECT_TRUE(all_supported(verify_claims(ledger, "Harbour coffee", "Organic whole beans and delivery by mail.")));
  EXPECT_FALSE(all_supported(verify_claims(ledger, "Harbour coffee", "Organic mail.")));
}

TEST(Verifier, HowOftenIsNotHowLong) {
  const Brief coffee = coffee_brief(R"(
    {id = "delivery", name = "delivery", value = "every two weeks by mail"},
    {id = "price", name = "price per bag", value = 12.90, unit = "USD"},
    {id = "bag", name = "weight of a bag of coffee", value = 250, unit = "g"},
    {id = "beans", name = "coffee beans", value = "whole beans, roasted the day before they are sent"},
    {id = "shipping", name = "shipping", value = "free in the United Kingdom"},
    {id = "trial", name = "trial", value = 14, unit = "days"},
    {id = "warranty", name = "warranty of the grinder", value = 2, unit = "years"})");
  const FactLedger ledger(coffee, *parse_time("2026-06-01"));
  for (const char* body : {
           "Delivery every two weeks by mail.",
           "Delivery every 2 weeks.",
           "Every two weeks by mail.",
           "Coffee by mail every 14 days.",
           "A 250 g bag of coffee, every two weeks by mail.",
           "A 250 g bag of coffee and delivery every two weeks by mail.",
           "12.90 USD per bag and delivery every two weeks.",
           "A trial of 14 days.",
           "Warranty of the grinder: 2 years.",
       }) {
    const std::vector<Claim> claims = verify_claims(ledger, "Harbour coffee", body);
    EXPECT_TRUE(all_supported(claims)) << body << "\n  " << reasons(claims);
  }
  for (const char* body : {
           "Delivery in two weeks by mail.",
           "Delivery: two weeks.",
           "Delivery every three weeks by mail.",
           "Delivery every week by mail.",
           "Delivery every two days by mail.",
           "Delivery every other week by mail.",
           "Delivery every day by mail.",
           "A trial every 14 days.",
           "Warranty of the grinder every 2 years.",
           "Every grinder has a warranty of 2 years.",
           "250 g of coffee every two weeks by mail.",
           "Every two weeks 250 g of coffee by mail.",
           "Every two weeks by mail and 250 g of coffee.",
           "12.90 USD every two weeks by mail.",
           "Every two weeks by mail for 12.90 USD.",
           "Price per bag 12.90 USD every two weeks by mail.",
           "Roasted every two weeks by mail.",
           "Whole beans roasted every two weeks, by mail.",
           "Every two weeks roasted beans by mail.",
           "Free shipping in the United Kingdom every two weeks.",
           "Free delivery every two weeks by mail.",
           "A grinder every two weeks by mail.",
           "Every bag 12.90 USD and delivery in two weeks by mail.",
           "Delivery by mail and two weeks every bag.",
           "Delivery every bag and two weeks by mail.",
           "Every delivery takes two weeks by mail.",
       }) {
    const std::vector<Claim> claims = verify_claims(ledger, "Harbour coffee", body);
    EXPECT_FALSE(all_supported(claims)) << body << "\n  " << reasons(claims);
  }
}

TEST(Verifier, HiddenCharactersAreNamed) {
  for (const char* text : {"16\u200B0 GB", "lap\u00ADtop", "\u202E16 GB", "gu\u2060aranteed", "a\uFEFFb", "½ price",
                           "10² reasons", "L\u0435mur", "\xff\xfe"}) {
    EXPECT_FALSE(hidden_text_problems(text).empty()) << text;
  }
  for (const char* text :
       {"16 GB memory", "Kaffee für Köln", "コーヒーを飲む", "кофе", "café — “quoted”\nline", "naïve"}) {
    EXPECT_TRUE(hidden_text_problems(text).empty()) << text << hidden_text_problems(text)[0];
  }
}

TEST(Verifier, AClaimIsLinkedToItsFactByBytes) {
  const std::string headline = "Lemur Pro laptop", body = "Discover 16 GB memory and 512 GB storage, no fan.";
  const std::string text = headline + "\n" + body;
  const std::vector<Claim> claims = claims_of(body, headline);
  ASSERT_EQ(claims.size(), 4u) << reasons(claims);
  size_t end = 0;
  for (const Claim& claim : claims) {
    EXPECT_EQ(text.substr(claim.begin, claim.end - claim.begin), claim.text);
    EXPECT_GE(claim.begin, end);
    end = claim.end;
  }
  EXPECT_EQ(claims[0].kind, ClaimKind::name);
  EXPECT_EQ(claims[1].fact_id, "memory");
  EXPECT_EQ(claims[1].kind, ClaimKind::unit);
  EXPECT_EQ(claims[2].fact_id, "storage");
  EXPECT_EQ(claims[3].fact_id, "fan");
  EXPECT_EQ(claims[3].kind, ClaimKind::negation);
}

TEST(Verifier, TheClockDecidesWhichFactsProve) {
  const std::string body = "A discount voucher of 100 USD.";
  const FactLedger january(brief(), *parse_time("2026-01-31T12:00:00Z")), february(brief(), *parse_time("2026-02-01"));
  EXPECT_TRUE(all_supported(verify_claims(january, "Lemur", body)));
  const std::vector<Claim> late = verify_claims(february, "Lemur", body);
  EXPECT_FALSE(all_supported(late));
  EXPECT_NE(reasons(late).find("valid only until 2026-02-01"), std::string::npos) << reasons(late);
}

TEST(Verifier, TheReasonNamesTheClosestFact) {
  EXPECT_NE(reasons(claims_of("20 hours of battery life.")).find("battery = up to 18 hours"), std::string::npos);
  EXPECT_NE(reasons(claims_of("The durable laptop.")).find("“durable” is in no fact"), std::string::npos);
}

TEST(Verifier, AnyBytesEndInClaimsInsideTheText) {
  const std::string seed = "Lemur 16 GB, no fan: free of ½ $1,299.00 — 24.12.2026 “best” #1 \xF0\x9F\x8F\x86 up to";
  for (uint64_t round = 0; round < 300; ++round) {
    std::string body = seed.substr(0, random_u64(1, 0, round) % seed.size());
    for (int flip = 0; flip < 4 && !body.empty(); ++flip) {
      const uint64_t bit = random_u64(2, flip, round) % (body.size() * 8);
      body[bit / 8] = static_cast<char>(body[bit / 8] ^ (1 << (bit % 8)));
    }
    for (const Claim& claim : claims_of(body, body)) {
      EXPECT_LT(claim.begin, claim.end);
      EXPECT_LE(claim.end, 2 * body.size() + 1);
    }
  }
}

TEST(TextScan, GraphemesAreWhatAReaderCounts) {
  EXPECT_EQ(count_graphemes(""), 0);
  EXPECT_EQ(count_graphemes("abc"), 3);
  EXPECT_EQ(count_graphemes("e\u0301"), 1);
  EXPECT_EQ(count_graphemes("👩‍👩‍👧"), 1);
  EXPECT_EQ(count_graphemes("🇳🇴🇸🇪"), 2);
}

}  // namespace
}  // namespace starling

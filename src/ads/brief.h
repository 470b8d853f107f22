// An advertising brief: what an advertiser attests and wants. Read from TOML or from the same shape in JSON
// (docs/formats/brief.md). Nothing in it is ever followed as an instruction.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace starling {

// What the advertiser attests to be true from `valid_from_s` up to (not including) `valid_to_s`.
struct Fact {
  std::string id;     // unique in the brief: "price"
  std::string name;   // what the value is of: "price of a bag"
  std::string value;  // "12.90", "14", "organic", "false" (the product has not what `name` says), "2026-12-24"
  std::string unit;   // "EUR", "g", "hours", "EUR/month"; empty for plain text
  std::optional<int64_t> valid_from_s, valid_to_s;

  bool valid_at(int64_t time_s) const {
    return (!valid_from_s || time_s >= *valid_from_s) && (!valid_to_s || time_s < *valid_to_s);
  }
  friend bool operator==(const Fact&, const Fact&) = default;
};

struct WantedAudience {
  std::string name;
  std::string query;  // the search's query language: "#linux laptop"; from: is refused
  friend bool operator==(const WantedAudience&, const WantedAudience&) = default;
};

struct Brief {
  std::string advertiser, payer, product;
  std::string landing_page;  // https URL
  std::string tone;
  std::string language = "en";
  std::vector<Fact> facts;
  bool find_audiences = false;
  std::vector<WantedAudience> audiences;
  std::vector<std::string> must, must_not;  // phrases, compared without case
  int64_t budget_micros = 0;                // millionths of `currency`
  int64_t max_bid_micros = 0;               // the most for one impression
  std::string currency;                     // ISO 4217
  std::string time_zone = "UTC";            // IANA name; start and end are days there
  std::optional<int64_t> starts_s, ends_s;  // ends_s is the first second after the last day
  int max_graphemes = 240;                  // headline and body together
  int variants_per_audience = 3;
  int frequency_cap = 3;  // impressions for one viewer in 24 hours

  const Fact* fact(std::string_view id) const;
  friend bool operator==(const Brief&, const Brief&) = default;
};

// Throw ConfigError "source:line: ..." for an unknown key (naming the nearest known one), a missing or a wrong value.
Brief brief_from_toml(std::string_view text, const std::string& source);
Brief brief_from_json(std::string_view text, const std::string& source = "brief");
// What ads_json.h wrote of a brief that was read: as JSON it may be larger than a brief may come.
Brief stored_brief(std::string_view text, const std::string& source);

}  // namespace starling

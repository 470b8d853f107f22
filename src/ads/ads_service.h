// Advertising on one workspace: brief -> audiences -> variants, verified -> approval -> auction -> events -> library.
// Thread-safe. Every step is one transaction of the control database with its audit record in it.
//
// Money: a decision reserves its price, the impression settles it, and a reservation that no impression follows is
// released after AdsOptions::reservation_s. spent + reserved never exceeds the budget, whatever runs at the same time
// and whenever the process is killed. An impression that comes after the release is counted and not charged.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ads/campaign.h"
#include "core/config.h"

namespace starling {

class ControlDb;
class Engine;
class SearchService;

std::vector<ConfigKey> ads_config_keys();

struct AdsOptions {
  std::string currency = "USD";         // the auction compares bids in one currency
  int64_t reserve_price_micros = 1000;  // the least an impression costs
  int64_t reservation_s = 900;
  int attempts_per_variant = 4;  // how often the writer may try
  uint64_t seed = 1;
};
AdsOptions ads_options(const Config& config);

class AdsService {
 public:
  using Clock = std::function<int64_t()>;                                               // UTC seconds
  using OnProgress = std::function<void(double fraction, const std::string& message)>;  // fraction in [0, 1]

  // `search` and `writer` may be null; then write() throws ConfigError that says what is missing. `clock` null:
  // now_s().
  AdsService(ControlDb& control, SearchService* search, Engine* writer, const AdsOptions& options = {},
             Clock clock = {});
  ~AdsService();

  Campaign write(const Brief& brief, const OnProgress& on_progress = {});  // a draft, stored; honours stop_requested()
  std::vector<Campaign> campaigns(const ListRange& range = {}) const;      // newest first
  std::optional<Campaign> campaign(const std::string& id) const;
  // Approves accepted variants (empty list: all of them), and with the first ones the campaign; one that is paused
  // stays so. Throws DataError for an unknown id or a rejected variant.
  Campaign approve(const std::string& campaign_id, const std::vector<std::string>& variant_ids,
                   const std::string& approver);
  Campaign set_state(const std::string& campaign_id, CampaignState state);  // pause, resume, end

  // The same checks on a person's own words; nothing is stored. DataError for a text longer than any brief allows.
  Variant check(const Brief& brief, const std::string& headline, const std::string& body) const;

  DecideResult decide(const DecideRequest& request);
  // "impression" or "click"; false when it was known. Throws DataError for a token that we did not sign.
  bool record_event(const std::string& token, const std::string& type);
  void set_viewer_opt_out(const std::string& viewer, bool opt_out);

  // What was ever approved, newest first; filtered by words of the text and by advertiser, both without case.
  std::vector<LibraryEntry> library(const std::string& query = {}, const std::string& advertiser = {},
                                    const ListRange& range = {}) const;
  std::optional<LibraryEntry> library_entry(const std::string& variant_id) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace starling

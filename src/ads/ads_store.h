// The advertising tables of the control database. Every function works in the caller's transaction.
//   ads_campaigns  one row a campaign: brief, audiences, state, and the money (budget, spent, reserved)
//   ads_variants   its variants, as JSON
//   ads_decisions  one row a request: the answer that was given, and what became of its price
//   ads_ledger     every change of money: reserve, settle, release; spent and reserved are its sums
//   ads_events     impressions and clicks, once each
//   ads_changes    the version of each campaign's last change
//   ads_library    one row a variant that was ever approved: what the ad library searches, folded
//   ads_opt_outs   viewers who want no ads, as keyed hashes
//   ads_secrets    keys for tokens and viewer hashes, made at first use
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ads/campaign.h"

namespace soci {
class session;
}

namespace starling {

void create_ads_tables(soci::session& sql);

void insert_campaign(soci::session& sql, const Campaign& campaign);
std::optional<Campaign> load_campaign(soci::session& sql, const std::string& id);
std::vector<Campaign> load_campaigns(soci::session& sql, const ListRange& range);  // newest first
void update_campaign_state(soci::session& sql, const std::string& id, CampaignState state);
void update_variant(soci::session& sql, const std::string& campaign_id, const Variant& variant);
// Grows with every change of a campaign's state or variants, so that a copy in memory knows when it is old.
int64_t campaigns_version(soci::session& sql);
// Those that have changed since a version; of a negative one, all that are approved.
std::vector<std::string> campaigns_changed_since(soci::session& sql, int64_t version);

// 64 hex digits, random, the same ever after.
std::string ads_secret(soci::session& sql, const std::string& name);

}  // namespace starling

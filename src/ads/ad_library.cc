#include "ads/ad_library.h"

#include <soci/soci.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <utility>

#include "ads/ads_store.h"
#include "ads/text_scan.h"

namespace starling {
namespace {

void count_events(soci::session& sql, LibraryEntry& entry) {
  long long first = 0, last = 0, impressions = 0, clicks = 0, spent = 0;
  sql << "select coalesce(sum(e.type = 'impression'), 0), coalesce(sum(e.type = 'click'), 0),"
         " coalesce(min(case e.type when 'impression' then e.time_s end), 0), coalesce(max(case e.type when "
         "'impression' then e.time_s end), 0)"
         " from ads_decisions d join ads_events e on e.impression_id = d.impression_id where d.variant_id = :variant",
      soci::into(impressions), soci::into(clicks), soci::into(first), soci::into(last), soci::use(entry.variant_id);
  sql << "select coalesce(sum(price_micros), 0) from ads_decisions where variant_id = :variant and state = 'settled'",
      soci::into(spent), soci::use(entry.variant_id);
  entry.impressions = impressions;
  entry.clicks = clicks;
  entry.first_shown_s = first;
  entry.last_shown_s = last;
  entry.spent_micros = spent;
}

bool holds_words(const std::string& folded, const std::string& query) {
  std::istringstream words(fold_text(query));
  for (std::string word; words >> word;) {
    if (folded.find(word) == std::string::npos) return false;
  }
  return true;
}

LibraryEntry entry_of(soci::session& sql, const Campaign& campaign, const Variant& variant) {
  LibraryEntry entry{.campaign_id = campaign.id,
                     .variant_id = variant.id,
                     .advertiser = campaign.brief.advertiser,
                     .payer = campaign.brief.payer,
                     .headline = variant.headline,
                     .body = variant.body,
                     .label = variant.label,
                     .currency = campaign.brief.currency,
                     .claims = variant.claims};
  for (const AdAudience& audience : campaign.audiences) {
    if (audience.id == variant.audience_id) entry.audience = audience.name;
  }
  count_events(sql, entry);
  return entry;
}

// Adds the entries of a campaign whose variants are in `wanted`, best first, but the first `skipped`, up to the limit.
void add_entries(soci::session& sql, const std::string& campaign_id, const std::set<std::string>& wanted,
                 size_t skipped, size_t limit, std::vector<LibraryEntry>& entries) {
  const std::optional<Campaign> campaign = load_campaign(sql, campaign_id);
  if (!campaign) return;
  for (const Variant& variant : campaign->variants) {
    if (!wanted.contains(variant.id)) continue;
    if (skipped > 0) --skipped;
    else if (entries.size() < limit) entries.push_back(entry_of(sql, *campaign, variant));
  }
}

}  // namespace

void add_to_library(soci::session& sql, const Campaign& campaign, const Variant& variant) {
  const std::string who = fold_text(campaign.brief.advertiser + "\n" + campaign.brief.payer),
                    words = fold_text(variant.headline + "\n" + variant.body + "\n" + variant.label);
  sql << "insert or ignore into ads_library (variant_id, campaign_id, who, words) values (:variant, :campaign, :who, "
         ":words)",
      soci::use(variant.id), soci::use(campaign.id), soci::use(who), soci::use(words);
}

void fill_library(soci::session& sql) {
  std::vector<std::string> campaigns;
  std::string id;
  soci::statement rows =
      (sql.prepare << "select distinct campaign_id from ads_variants where id not in (select variant_id from "
                      "ads_library) and json_extract(body, '$.state') = 'approved'",
       soci::into(id));
  rows.execute();
  while (rows.fetch()) campaigns.push_back(id);
  for (const std::string& known : campaigns) {
    const Campaign campaign = *load_campaign(sql, known);
    for (const Variant& variant : campaign.variants) {
      if (variant.state == VariantState::approved) add_to_library(sql, campaign, variant);
    }
  }
}

std::optional<LibraryEntry> find_library_entry(soci::session& sql, const std::string& variant_id) {
  std::string campaign_id;
  sql << "select campaign_id from ads_library where variant_id = :id", soci::into(campaign_id), soci::use(variant_id);
  if (!sql.got_data()) return std::nullopt;
  std::vector<LibraryEntry> found;
  add_entries(sql, campaign_id, {variant_id}, 0, 1, found);
  return found.empty() ? std::nullopt : std::optional(std::move(found[0]));
}

std::vector<LibraryEntry> list_library(soci::session& sql, const std::string& query, const std::string& advertiser,
                                       const ListRange& range) {
  std::vector<std::pair<std::string, std::set<std::string>>> matches;  // campaign and variants, the newest first
  const std::string folded_advertiser = fold_text(advertiser);
  std::string variant_id, campaign_id, who, words;
  soci::statement rows =
      (sql.prepare << "select l.variant_id, l.campaign_id, l.who, l.words from ads_library l join ads_campaigns c on "
                      "c.id = l.campaign_id order by c.created_s desc, c.rowid desc",
       soci::into(variant_id), soci::into(campaign_id), soci::into(who), soci::into(words));
  rows.execute();
  size_t count = 0;
  while (rows.fetch()) {
    if (who.find(folded_advertiser) == std::string::npos || !holds_words(words, query)) continue;
    if (matches.empty() || matches.back().first != campaign_id) {
      if (count >= range.offset + range.limit) break;
      matches.push_back({campaign_id, {}});
    }
    matches.back().second.insert(variant_id);
    ++count;
  }
  std::vector<LibraryEntry> entries;
  size_t left = range.offset;
  for (const auto& [campaign, variants] : matches) {
    const size_t skipped = std::min(left, variants.size());
    left -= skipped;
    if (skipped < variants.size()) add_entries(sql, campaign, variants, skipped, range.limit, entries);
  }
  return entries;
}

}  // namespace starling

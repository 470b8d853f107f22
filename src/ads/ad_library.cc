#include "ads/ad_library.h"

#include <soci/soci.h>

#include <algorithm>
#include <sstream>

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

}  // namespace

std::vector<LibraryEntry> list_library(soci::session& sql, const std::string& query, const std::string& advertiser) {
  std::vector<LibraryEntry> entries;
  for (const Campaign& campaign : load_campaigns(sql)) {
    const std::string who = fold_text(campaign.brief.advertiser + "\n" + campaign.brief.payer);
    if (who.find(fold_text(advertiser)) == std::string::npos) continue;
    for (const Variant& variant : campaign.variants) {
      if (variant.state != VariantState::approved ||
          !holds_words(fold_text(variant.headline + "\n" + variant.body + "\n" + variant.label), query))
        continue;
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
      entries.push_back(std::move(entry));
    }
  }
  return entries;
}

}  // namespace starling

#include "ads/ad_candidates.h"

#include <soci/soci.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "ads/ads_store.h"
#include "ads/auction.h"
#include "ads/fact_ledger.h"

namespace starling {
namespace {

bool facts_hold(const Campaign& campaign, const Variant& variant, int64_t now_s) {
  return std::all_of(variant.claims.begin(), variant.claims.end(), [&](const Claim& claim) {
    const Fact* fact = campaign.brief.fact(claim.fact_id);
    return claim.fact_id.empty() || (fact != nullptr && fact->valid_at(now_s));
  });
}

// The first of the variants that fit best among those whose facts hold.
AdCandidates::Match best_variant(const Campaign& campaign, const std::vector<double>& relevance, int64_t now_s) {
  AdCandidates::Match best{.campaign = &campaign};
  for (size_t i = 0; i < campaign.variants.size(); ++i) {
    if (relevance[i] <= best.relevance || !facts_hold(campaign, campaign.variants[i], now_s)) continue;
    best.variant = &campaign.variants[i];
    best.relevance = relevance[i];
  }
  return best;
}

}  // namespace

std::set<std::string> ad_keywords(const Campaign& campaign, const Variant& variant) {
  std::string text = campaign.brief.product;
  for (const AdAudience& audience : campaign.audiences) {
    if (audience.id == variant.audience_id) text += "\n" + audience.name + "\n" + audience.query;
  }
  for (const Fact& fact : campaign.brief.facts) text += "\n" + fact.name;
  return statement_words(text);
}

void AdCandidates::refresh(soci::session& sql) {
  const int64_t version = campaigns_version(sql);
  if (version == version_) return;
  for (const std::string& id : campaigns_changed_since(sql, version_)) {
    remove(id);
    std::optional<Campaign> campaign = load_campaign(sql, id);
    if (campaign && campaign->state == CampaignState::approved) add(std::move(*campaign));
  }
  version_ = version;
}

void AdCandidates::add(Campaign campaign) {
  std::erase_if(campaign.variants, [](const Variant& variant) { return variant.state != VariantState::approved; });
  const Campaign& kept = campaigns_.insert_or_assign(campaign.id, std::move(campaign)).first->second;
  for (size_t i = 0; i < kept.variants.size(); ++i)
    for (const std::string& keyword : ad_keywords(kept, kept.variants[i])) postings_[keyword].push_back({&kept, i});
}

void AdCandidates::remove(const std::string& campaign_id) {
  const auto found = campaigns_.find(campaign_id);
  if (found == campaigns_.end()) return;
  for (const Variant& variant : found->second.variants)
    for (const std::string& keyword : ad_keywords(found->second, variant))
      std::erase_if(postings_[keyword], [&](const Posting& posting) { return posting.campaign == &found->second; });
  campaigns_.erase(found);
}

std::vector<AdCandidates::Match> AdCandidates::matching(std::string_view context, int64_t now_s) const {
  std::vector<Match> matches;
  const std::set<std::string> said = statement_words(context);
  if (said.empty()) {
    for (const auto& [id, campaign] : campaigns_)
      matches.push_back(
          best_variant(campaign, std::vector<double>(campaign.variants.size(), kUnknownContextRelevance), now_s));
    return matches;
  }
  std::unordered_map<const Campaign*, std::vector<double>> found;  // keywords that the page says, by variant
  for (const std::string& word : said) {
    const auto postings = postings_.find(word);
    if (postings == postings_.end()) continue;
    for (const Posting& posting : postings->second) {
      std::vector<double>& counts = found[posting.campaign];
      counts.resize(posting.campaign->variants.size());
      ++counts[posting.variant];
    }
  }
  for (auto& [campaign, counts] : found) {
    for (double& count : counts) count = relevance_of(static_cast<size_t>(count));
    matches.push_back(best_variant(*campaign, counts, now_s));
  }
  return matches;
}

}  // namespace starling

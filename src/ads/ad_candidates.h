// The approved variants in memory, found by the words that a page and an ad share: a decision costs what it finds, not
// what there is.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ads/campaign.h"

namespace soci {
class session;
}

namespace starling {

// The words by which a variant meets a page: of its product, its audience and the names of its facts.
std::set<std::string> ad_keywords(const Campaign& campaign, const Variant& variant);

class AdCandidates {
 public:
  // A campaign with a variant that fits the page.
  struct Match {
    const Campaign* campaign = nullptr;
    const Variant* variant = nullptr;  // the first of those that fit it best; null: the facts of none hold
    double relevance = 0;              // context_relevance() of its keywords, above 0
  };

  // Reads what has changed since the last call. Pointers of earlier matches end here.
  void refresh(soci::session& sql);
  size_t campaigns() const { return campaigns_.size(); }
  // In no order. Facts hold at now_s or not.
  std::vector<Match> matching(std::string_view context, int64_t now_s) const;

 private:
  void add(Campaign campaign);
  void remove(const std::string& campaign_id);

  int64_t version_ = -1;
  std::map<std::string, Campaign> campaigns_;  // by id, with their approved variants only; nodes keep their places
  struct Posting {
    const Campaign* campaign;
    size_t variant;
  };
  std::unordered_map<std::string, std::vector<Posting>> postings_;  // by keyword
};

}  // namespace starling

// Audiences from posts, as aggregates: topics of the product and its facts, and the hashtags and communities that occur
// with them. Nothing about a single author leaves the search; a group of fewer than kMinimumAudience is refused.
#pragma once

#include <vector>

#include "ads/campaign.h"

namespace starling {

class SearchService;

struct FoundAudiences {
  std::vector<AdAudience> audiences;     // most relevant first
  std::vector<RefusedAudience> refused;  // sensitive, by proxy, about single people, or too few
};

// Checks those that the brief wants, then finds more if it says so.
FoundAudiences find_audiences(const Brief& brief, SearchService& search);

}  // namespace starling

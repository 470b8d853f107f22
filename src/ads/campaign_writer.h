// From a brief to a draft campaign: audiences, then drafts by the model for each, judged and ranked.
#pragma once

#include <cstdint>
#include <string>

#include "ads/ads_service.h"
#include "ads/campaign.h"

namespace starling {

// Fills audiences, refused_audiences, variants and writer of a campaign that has its id, brief and time.
void write_campaign(Campaign& campaign, SearchService& search, Engine& writer, const AdsOptions& options,
                    const AdsService::OnProgress& on_progress);

// Claims, policy and label of one headline and body; accepted when nothing speaks against it.
Variant judge_copy(const Brief& brief, const std::string& headline, const std::string& body, int64_t time_s);

}  // namespace starling

// The public ad library: every variant that was ever approved, with what it cost and how often it was shown.
#pragma once

#include <string>
#include <vector>

#include "ads/campaign.h"

namespace soci {
class session;
}

namespace starling {

// Entries whose text or label holds every word of `query`, and whose advertiser or payer holds `advertiser`; without
// case.
std::vector<LibraryEntry> list_library(soci::session& sql, const std::string& query, const std::string& advertiser);

}  // namespace starling

// The public ad library: every variant that was ever approved, with what it cost and how often it was shown.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "ads/campaign.h"

namespace soci {
class session;
}

namespace starling {

// Makes an approved variant an entry; once more changes nothing.
void add_to_library(soci::session& sql, const Campaign& campaign, const Variant& variant);
// Adds the variants that were approved before the library had a table.
void fill_library(soci::session& sql);

std::optional<LibraryEntry> find_library_entry(soci::session& sql, const std::string& variant_id);

// The entries whose text or label holds every word of `query`, and whose advertiser or payer holds
// `advertiser`, without case; the newest first, those of the range.
std::vector<LibraryEntry> list_library(soci::session& sql, const std::string& query, const std::string& advertiser,
                                       const ListRange& range);

}  // namespace starling

// Splits an ad into claims and looks for the fact that proves each; what no fact proves is not supported.
//
// A claim is a clause, or the part of a clause round one checkable thing: a number with its unit or currency, a date, a
// negation, a superlative or other absolute word. Every other word must be an ordinary function word, invite without
// stating anything ("discover", "today"), or stand in the brief's product, advertiser or valid facts. Words side by
// side stand in one fact, or in facts about the product itself, and what is called free or best is what its fact speaks
// of. How prepositions join words of two facts is not checked: "beans by mail" may be true, "firmware by Intel" is not.
#pragma once

#include <string_view>
#include <vector>

#include "ads/campaign.h"
#include "ads/fact_ledger.h"

namespace starling {

// Claims cover `headline + "\n" + body` in order, without overlap.
std::vector<Claim> verify_claims(const FactLedger& ledger, std::string_view headline, std::string_view body);

}  // namespace starling

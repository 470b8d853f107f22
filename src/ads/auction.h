// A second-price auction on effective bids: bid x relevance ranks, and the winner pays the least that still wins.
// Source of the rule: Edelman, Ostrovsky & Schwarz 2007, "Internet advertising and the generalized second-price
// auction".
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace starling {

struct Bid {
  std::string campaign_id, variant_id;
  int64_t max_bid_micros = 0;
  double relevance = 0;  // (0, 1]
};

double effective_bid(int64_t max_bid_micros, double relevance);

struct AuctionOutcome {
  size_t winner = 0;         // index into the bids
  int64_t price_micros = 0;  // reserve <= price <= the winner's bid
};

// price = max(reserve, floor(second effective bid / winner's relevance) + 1), at most the bid. Bids below the reserve
// do not take part. A tie goes to the smaller hash of (`tie_break`, variant id), so that it does not depend on the
// order. None when nobody takes part.
std::optional<AuctionOutcome> second_price(const std::vector<Bid>& bids, int64_t reserve_micros,
                                           std::string_view tie_break);

// Share of the keywords' weight that the context speaks of, in [0, 1]: how many of up to 3 keywords it holds, over 3.
// A page without text fits every ad a little: kUnknownContextRelevance.
inline constexpr double kUnknownContextRelevance = 0.2;
double context_relevance(const std::set<std::string>& keywords, std::string_view context,
                         std::vector<std::string>* matched = nullptr);
double relevance_of(size_t keywords_found);  // the same by their number, on a page that has text

}  // namespace starling

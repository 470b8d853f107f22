#include "ads/auction.h"

#include <algorithm>
#include <cmath>

#include "ads/fact_ledger.h"
#include "core/hash.h"

namespace starling {
namespace {

constexpr size_t kEnoughKeywords = 3;

double effective(const Bid& bid) { return effective_bid(bid.max_bid_micros, bid.relevance); }

}  // namespace

double effective_bid(int64_t max_bid_micros, double relevance) {
  return static_cast<double>(max_bid_micros) * relevance;
}

std::optional<AuctionOutcome> second_price(const std::vector<Bid>& bids, int64_t reserve_micros,
                                           std::string_view tie_break) {
  std::vector<size_t> order;
  for (size_t i = 0; i < bids.size(); ++i) {
    if (bids[i].max_bid_micros >= reserve_micros && bids[i].relevance > 0) order.push_back(i);
  }
  if (order.empty()) return std::nullopt;
  const uint64_t seed = hash64(tie_break);
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (effective(bids[a]) != effective(bids[b])) return effective(bids[a]) > effective(bids[b]);
    return hash64(bids[a].variant_id, seed) < hash64(bids[b].variant_id, seed);
  });
  const Bid& winner = bids[order[0]];
  int64_t price = reserve_micros;
  if (order.size() > 1)
    price = std::max(price, static_cast<int64_t>(std::floor(effective(bids[order[1]]) / winner.relevance)) + 1);
  return AuctionOutcome{order[0], std::min(price, winner.max_bid_micros)};
}

double context_relevance(const std::set<std::string>& keywords, std::string_view context,
                         std::vector<std::string>* matched) {
  const std::set<std::string> said = statement_words(context);
  if (said.empty()) return kUnknownContextRelevance;
  size_t found = 0;
  for (const std::string& keyword : keywords) {
    if (!said.contains(keyword)) continue;
    ++found;
    if (matched != nullptr) matched->push_back(keyword);
  }
  return relevance_of(found);
}

double relevance_of(size_t keywords_found) {
  return static_cast<double>(std::min(keywords_found, kEnoughKeywords)) / kEnoughKeywords;
}

}  // namespace starling

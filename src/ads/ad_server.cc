#include "ads/ad_server.h"

#include <fmt/format.h>
#include <soci/soci.h>

#include <algorithm>
#include <map>
#include <vector>

#include "ads/ad_candidates.h"
#include "ads/ad_library.h"
#include "ads/ads_json.h"
#include "ads/ads_service.h"
#include "ads/ads_store.h"
#include "ads/fact_ledger.h"
#include "ads/text_scan.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/time.h"
#include "store/audit_log.h"
#include "store/control_db.h"

namespace starling {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kTokenVersion = "s1";

// Moves money and writes the ledger's row; the table's own check stops a sum that would pass the budget.
void move_money(soci::session& sql, const std::string& kind, const std::string& campaign_id,
                const std::string& impression_id, long long amount, long long now_s) {
  const long long reserved = kind == "reserve" ? amount : -amount, spent = kind == "settle" ? amount : 0;
  sql << "update ads_campaigns set reserved_micros = reserved_micros + :reserved, spent_micros = spent_micros + :spent "
         "where id = :id",
      soci::use(reserved), soci::use(spent), soci::use(campaign_id);
  sql << "insert into ads_ledger (time_s, campaign_id, impression_id, kind, amount_micros) values (:time, :campaign, "
         ":impression, :kind, :amount)",
      soci::use(now_s), soci::use(campaign_id), soci::use(impression_id), soci::use(kind), soci::use(amount);
}

void set_decision_state(soci::session& sql, const std::string& impression_id, const std::string& state) {
  sql << "update ads_decisions set state = :state where impression_id = :impression", soci::use(state),
      soci::use(impression_id);
}

}  // namespace

AdServer::AdServer(ControlDb& control, const AdsOptions& options)
    : control_(control), options_(options), candidates_(std::make_unique<AdCandidates>()) {
  control_.transaction([this](soci::session& sql) {
    create_ads_tables(sql);
    fill_library(sql);
    token_key_ = ads_secret(sql, "token");
    viewer_key_ = ads_secret(sql, "viewer");
  });
}

AdServer::~AdServer() = default;

std::string AdServer::viewer_hash(const std::string& viewer) const { return hmac_sha256_hex(viewer_key_, viewer); }

std::string AdServer::sign(const std::string& impression_id) const {
  return fmt::format("{}.{}.{}", kTokenVersion, impression_id, hmac_sha256_hex(token_key_, impression_id));
}

// Reservations whose impression never came give their money back.
void AdServer::release_unseen(soci::session& sql, int64_t now_s) {
  struct Open {
    std::string impression_id, campaign_id;
    long long price;
  };
  std::vector<Open> open;
  Open row{};
  const long long before = now_s - options_.reservation_s;
  soci::statement rows =
      (sql.prepare << "select impression_id, campaign_id, price_micros from ads_decisions where state = 'reserved' and "
                      "time_s < :before",
       soci::into(row.impression_id), soci::into(row.campaign_id), soci::into(row.price), soci::use(before));
  rows.execute();
  while (rows.fetch()) open.push_back(row);
  for (const Open& unseen : open) {
    move_money(sql, "release", unseen.campaign_id, unseen.impression_id, unseen.price, now_s);
    set_decision_state(sql, unseen.impression_id, "released");
  }
}

namespace {

using Match = AdCandidates::Match;

struct Bidders {
  std::vector<Bid> bids;
  std::vector<Match> matches;              // of the bids
  std::map<std::string, size_t> excluded;  // how many campaigns do not take part, by reason
};

// Does the tag of a page's language ("en-US") fall into a brief's? Basic filtering of RFC 4647, 3.3.1.
bool matches_language(const std::string& range, const std::string& tag) {
  const std::string folded = fold_text(tag);
  return folded.starts_with(range) && (folded.size() == range.size() || folded[range.size()] == '-');
}

// Why a campaign does not take part now; empty when it does, and then `bid` is made.
std::string ineligible(soci::session& sql, const Match& match, const DecideRequest& request, const std::string& viewer,
                       const AdsOptions& options, int64_t clock_s, Bid& bid) {
  const Brief& brief = match.campaign->brief;
  const std::string& id = match.campaign->id;
  const int64_t now_s = request.now_s.value_or(clock_s);
  if ((brief.starts_s && now_s < *brief.starts_s) || (brief.ends_s && now_s >= *brief.ends_s))
    return "outside its dates";
  if (!request.language.empty() && !matches_language(brief.language, request.language)) return "in another language";
  if (brief.currency != options.currency) return "in another currency";
  if (match.variant == nullptr) return "with facts that are no longer valid";
  if (brief.max_bid_micros < options.reserve_price_micros) return "with a bid below the reserve price";
  long long left = 0, since = clock_s - kDay_s;
  sql << "select budget_micros - spent_micros - reserved_micros from ads_campaigns where id = :id", soci::into(left),
      soci::use(id);
  if (left < options.reserve_price_micros) return "without budget";
  int shown = 0;
  sql << "select count(*) from ads_decisions where viewer = :viewer and campaign_id = :campaign and time_s > :since "
         "and state <> 'released'",
      soci::into(shown), soci::use(viewer), soci::use(id), soci::use(since);
  if (shown >= brief.frequency_cap) return "shown to this viewer as often as it may be";
  bid = {id, match.variant->id, std::min<int64_t>(brief.max_bid_micros, left), match.relevance};
  return {};
}

// One bid a campaign, so that a campaign never prices itself. Those that cannot reach the second place, which change
// neither the winner nor the price, are not asked for their money.
Bidders find_bidders(soci::session& sql, std::vector<Match> matches, const DecideRequest& request,
                     const std::string& viewer, const AdsOptions& options, int64_t clock_s) {
  const auto most = [](const Match& match) {
    return effective_bid(match.campaign->brief.max_bid_micros, match.relevance);
  };
  std::sort(matches.begin(), matches.end(), [&](const Match& a, const Match& b) { return most(a) > most(b); });
  Bidders bidders;
  double first = 0, second = 0;
  for (const Match& match : matches) {
    if (most(match) < second) break;
    Bid bid;
    const std::string reason = ineligible(sql, match, request, viewer, options, clock_s, bid);
    if (!reason.empty()) {
      ++bidders.excluded[reason];
      continue;
    }
    const double effective = effective_bid(bid.max_bid_micros, bid.relevance);
    second = std::max(second, std::min(first, effective));
    first = std::max(first, effective);
    bidders.bids.push_back(std::move(bid));
    bidders.matches.push_back(match);
  }
  return bidders;
}

std::string why_this_ad(const Campaign& campaign, const Variant& variant, std::string_view context) {
  std::vector<std::string> matched;
  context_relevance(ad_keywords(campaign, variant), context, &matched);
  std::string audience = "everyone";
  for (const AdAudience& candidate : campaign.audiences) {
    if (candidate.id == variant.audience_id)
      audience = fmt::format("“{}”, a group of {} authors", candidate.name, candidate.authors);
  }
  const std::string page =
      matched.empty() ? "The page gave no topic" : fmt::format("The page is about {}", fmt::join(matched, ", "));
  return fmt::format(
      "{}. {} wants to reach {}. The ad was chosen by the page and by price; nothing about you as a person was used.",
      page, campaign.brief.advertiser, audience);
}

}  // namespace

DecideResult AdServer::choose(soci::session& sql, const DecideRequest& request, const std::string& viewer,
                              int64_t clock_s, const std::string& impression_id) {
  int opted_out = 0;
  sql << "select count(*) from ads_opt_outs where viewer = :viewer", soci::into(opted_out), soci::use(viewer);
  if (opted_out > 0) return {{}, "the viewer has opted out of ads"};
  candidates_->refresh(sql);
  if (candidates_->campaigns() == 0) return {{}, "no campaign is approved"};
  std::vector<Match> matches = candidates_->matching(request.context, request.now_s.value_or(clock_s));
  const size_t unmatched = candidates_->campaigns() - matches.size();
  Bidders bidders = find_bidders(sql, std::move(matches), request, viewer, options_, clock_s);
  const auto outcome = second_price(bidders.bids, options_.reserve_price_micros, request.request_id);
  if (!outcome) {
    if (unmatched > 0) bidders.excluded["not about this page"] = unmatched;
    std::string reason = "no ad takes part";
    for (const auto& [why, count] : bidders.excluded) reason += fmt::format("; {} {}", count, why);
    return {{}, reason};
  }
  const Campaign& campaign = *bidders.matches[outcome->winner].campaign;
  const Variant& variant = *bidders.matches[outcome->winner].variant;
  return {AdDecision{.impression_id = impression_id,
                     .campaign_id = campaign.id,
                     .variant_id = variant.id,
                     .headline = variant.headline,
                     .body = variant.body,
                     .landing_page = campaign.brief.landing_page,
                     .label = variant.label,
                     .price_micros = outcome->price_micros,
                     .currency = campaign.brief.currency,
                     .why_this_ad = why_this_ad(campaign, variant, request.context),
                     .library_url = "/v1/ads/library/" + variant.id,
                     .token = sign(impression_id)},
          {}};
}

namespace {

void store_decision(soci::session& sql, const std::string& request_id, const std::string& impression_id,
                    const std::string& viewer, const DecideResult& result, long long now_s) {
  const std::string answer = dump_json(Json(result)), state = result.ad ? "reserved" : "none";
  const std::string campaign = result.ad ? result.ad->campaign_id : "",
                    variant = result.ad ? result.ad->variant_id : "";
  const long long price = result.ad ? result.ad->price_micros : 0;
  sql << "insert into ads_decisions (request_id, impression_id, time_s, viewer, campaign_id, variant_id, price_micros, "
         "state, answer)"
         " values (:request, :impression, :time, :viewer, :campaign, :variant, :price, :state, :answer)",
      soci::use(request_id), soci::use(impression_id), soci::use(now_s), soci::use(viewer), soci::use(campaign),
      soci::use(variant), soci::use(price), soci::use(state), soci::use(answer);
  if (result.ad) move_money(sql, "reserve", campaign, impression_id, price, now_s);
  const Json record = {{"request_id", request_id}, {"impression_id", impression_id}, {"campaign_id", campaign},
                       {"variant_id", variant},    {"price_micros", price},          {"reason", result.reason}};
  AuditLog::append_in(sql, "ad.decision", dump_json(record));
}

}  // namespace

DecideResult AdServer::decide(const DecideRequest& request, int64_t clock_s) {
  if (request.request_id.empty() || request.viewer.empty())
    throw DataError("a decision needs a `request_id` and a `viewer`");
  const std::string viewer = viewer_hash(request.viewer);
  DecideResult result;
  control_.transaction([&](soci::session& sql) {
    std::string known;
    sql << "select answer from ads_decisions where request_id = :id", soci::into(known), soci::use(request.request_id);
    if (sql.got_data()) {
      result = parse_json(known).get<DecideResult>();
      return;
    }
    // A request may name another time for dates and facts, but it moves nobody's money: reservations and the frequency
    // cap go by the clock.
    release_unseen(sql, clock_s);
    const std::string impression_id = "imp-" + random_hex(12);
    result = choose(sql, request, viewer, clock_s, impression_id);
    store_decision(sql, request.request_id, impression_id, viewer, result, clock_s);
  });
  return result;
}

void AdServer::settle(soci::session& sql, const std::string& impression_id, int64_t now_s) {
  std::string campaign_id, state;
  long long price = 0;
  sql << "select campaign_id, price_micros, state from ads_decisions where impression_id = :id",
      soci::into(campaign_id), soci::into(price), soci::into(state), soci::use(impression_id);
  // After the release it is counted, for the frequency cap too, and not charged.
  const bool charged = state == "reserved";
  if (charged) move_money(sql, "settle", campaign_id, impression_id, price, now_s);
  set_decision_state(sql, impression_id, charged ? "settled" : "seen late");
}

bool AdServer::record_event(const std::string& token, const std::string& type, int64_t now_s) {
  if (type != "impression" && type != "click")
    throw DataError(fmt::format("`type` must be `impression` or `click`, not `{}`", type));
  const size_t first = token.find('.'), last = token.rfind('.');
  const bool shaped = first != std::string::npos && last > first && token.size() < 256;
  const std::string impression_id = shaped ? token.substr(first + 1, last - first - 1) : std::string();
  if (!shaped || !constant_time_equal(token, sign(impression_id)))
    throw DataError("the token was not signed by this server");
  bool recorded = false;
  control_.transaction([&](soci::session& sql) {
    int known = 0;
    sql << "select count(*) from ads_events where impression_id = :id and type = :type", soci::into(known),
        soci::use(impression_id), soci::use(type);
    if (known > 0) return;
    const long long time_s = now_s;
    sql << "insert into ads_events (impression_id, type, time_s) values (:id, :type, :time)", soci::use(impression_id),
        soci::use(type), soci::use(time_s);
    if (type == "impression") settle(sql, impression_id, now_s);
    AuditLog::append_in(sql, "ad.event", dump_json(Json{{"impression_id", impression_id}, {"type", type}}));
    recorded = true;
  });
  return recorded;
}

void AdServer::set_viewer_opt_out(const std::string& viewer, bool opt_out) {
  if (viewer.empty()) throw DataError("`viewer` is missing");
  const std::string hashed = viewer_hash(viewer);
  control_.transaction([&](soci::session& sql) {
    if (opt_out) {
      sql << "insert or ignore into ads_opt_outs (viewer) values (:viewer)", soci::use(hashed);
    } else {
      sql << "delete from ads_opt_outs where viewer = :viewer", soci::use(hashed);
    }
    AuditLog::append_in(sql, "ad.opt_out", dump_json(Json{{"viewer", hashed}, {"opt_out", opt_out}}));
  });
}

}  // namespace starling

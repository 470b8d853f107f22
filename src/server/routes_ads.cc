#include <fmt/format.h>

#include <algorithm>

#include "ads/ads_json.h"
#include "core/json.h"
#include "server/json_body.h"
#include "server/platform.h"
#include "server/routes.h"

namespace starling {
namespace {

using nlohmann::json;

Brief brief_in(const JsonBody& body) {
  try {
    return brief_from_json(dump_json(body.require("brief")));
  } catch (const ConfigError& error) {
    throw HttpError(400, "invalid_brief", error.what(), "brief");
  }
}

// A campaign, variant or job that is asked for by id.
template <typename Found>
const Found& found_or_404(const std::optional<Found>& found, const char* what) {
  if (!found) throw HttpError(404, "not_found", fmt::format("there is no such {}", what));
  return *found;
}

// DataError of the ads service means that the request names something unknown or not allowed.
template <typename Work>
auto as_bad_request(const Work& work) -> decltype(work()) try {
  return work();
} catch (const DataError& error) {
  throw HttpError(400, "invalid_request", error.what());
}

ListRange range_of(const Request& request) {
  constexpr int64_t kMaxLimit = 500, kMaxOffset = int64_t{1} << 40;
  return {.offset = static_cast<size_t>(query_integer(request, "offset", 0, 0, kMaxOffset)),
          .limit = static_cast<size_t>(query_integer(request, "limit", kMaxLimit, 1, kMaxLimit))};
}

CampaignState state_of(const std::string& name) {
  for (const CampaignState state : {CampaignState::approved, CampaignState::paused, CampaignState::ended})
    if (to_string(state) == name) return state;
  throw wrong_field("state", "approved, paused or ended");
}

}  // namespace

Response write_ads(Platform& platform, const Request& request) {
  const Brief brief = brief_in(JsonBody(request.body));
  platform.require_search();
  if (!platform.models.writer()) throw HttpError(503, "no_model", "this server has no model to write with");
  if (const auto job = platform.ad_jobs.start(brief)) return json_response(json{{"job", *job}}, 202);
  HttpError busy(503, "overloaded", "as many briefs wait to be written as may; try again later");
  busy.retry_after_s = 30;
  throw busy;
}

Response get_ad_job(Platform& platform, const Request& request) {
  const auto job = platform.ad_jobs.find(request.parameters.at("id"));
  const AdJob& found = found_or_404(job, "job; finished campaigns are under /v1/ads/campaigns");
  json answer = {
      {"state", found.state}, {"progress", found.progress}, {"message", found.message}, {"campaign", nullptr}};
  if (found.campaign) answer["campaign"] = *found.campaign;
  return json_response(answer);
}

Response list_campaigns(Platform& platform, const Request& request) {
  return json_response(json{{"campaigns", platform.ads.campaigns(range_of(request))}});
}

Response get_campaign(Platform& platform, const Request& request) {
  return json_response(json(found_or_404(platform.ads.campaign(request.parameters.at("id")), "campaign")));
}

Response approve_campaign(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  std::vector<std::string> variants;
  if (const json* ids = body.find("variant_ids")) {
    const auto is_text = [](const json& id) { return id.is_string(); };
    if (!ids->is_array() || !std::all_of(ids->begin(), ids->end(), is_text))
      throw wrong_field("variant_ids", "a list of ids");
    variants = ids->get<std::vector<std::string>>();
  }
  const std::string& id = request.parameters.at("id");
  found_or_404(platform.ads.campaign(id), "campaign");
  const std::string approver = body.text("approver", request.key.name);
  return json_response(json(as_bad_request([&] { return platform.ads.approve(id, variants, approver); })));
}

Response set_campaign_state(Platform& platform, const Request& request) {
  const CampaignState state = state_of(JsonBody(request.body).text("state"));
  const std::string& id = request.parameters.at("id");
  found_or_404(platform.ads.campaign(id), "campaign");
  return json_response(json(as_bad_request([&] { return platform.ads.set_state(id, state); })));
}

Response check_ad(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  const Brief brief = brief_in(body);
  return json_response(
      json(as_bad_request([&] { return platform.ads.check(brief, body.text("headline"), body.text("body")); })));
}

Response decide_ad(Platform& platform, const Request& request) {
  const JsonBody checked(request.body);
  const DecideResult result =
      as_bad_request([&] { return platform.ads.decide(decide_request_from_json(request.body)); });
  platform.metrics.count_ad_decision(result.ad.has_value());
  return json_response(json(result));
}

Response record_ad_event(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  const std::string token = body.text("token"), type = body.text("type");
  if (type != "impression" && type != "click") throw wrong_field("type", "impression or click");
  const bool recorded = as_bad_request([&] { return platform.ads.record_event(token, type); });
  platform.metrics.count_ad_event(type, recorded);
  return json_response(json{{"recorded", recorded}});
}

Response set_ad_opt_out(Platform& platform, const Request& request) {
  const JsonBody body(request.body);
  const bool opt_out = body.boolean("opt_out", true);
  platform.ads.set_viewer_opt_out(body.text("viewer"), opt_out);
  return json_response(json{{"opt_out", opt_out}});
}

Response list_library(Platform& platform, const Request& request) {
  const std::string query = query_text(request, "query"), advertiser = query_text(request, "advertiser");
  return json_response(json{{"entries", platform.ads.library(query, advertiser, range_of(request))}});
}

Response get_library_entry(Platform& platform, const Request& request) {
  return json_response(
      json(found_or_404(platform.ads.library_entry(request.parameters.at("variant_id")), "entry of the ad library")));
}

}  // namespace starling

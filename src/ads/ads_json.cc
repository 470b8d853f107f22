#include "ads/ads_json.h"

#include <fmt/format.h>

#include <array>
#include <string>

#include "core/error.h"
#include "core/json.h"
#include "core/time.h"

namespace starling {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 8> kKinds = {"plain", "number", "unit",     "currency",
                                                    "date",  "name",   "negation", "superlative"};
constexpr std::array<std::string_view, 3> kVariantStates = {"accepted", "rejected", "approved"};
constexpr std::array<std::string_view, 4> kCampaignStates = {"draft", "approved", "paused", "ended"};
constexpr size_t kMaxIdBytes = 256, kMaxContextBytes = 16 << 10;

template <class Enum, size_t N>
Enum enum_of(const std::array<std::string_view, N>& names, const std::string& name) {
  for (size_t i = 0; i < N; ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
  }
  throw DataError(fmt::format("unknown state or kind `{}`", name));
}

double whole_units(int64_t micros) { return static_cast<double>(micros) / 1e6; }

void put_time(Json& json, const char* key, const std::optional<int64_t>& time_s) {
  if (time_s) json[key] = format_time(*time_s);
}

Json facts_json(const Brief& brief) {
  Json facts = Json::array();
  for (const Fact& fact : brief.facts) {
    Json row = {{"id", fact.id}, {"name", fact.name}, {"value", fact.value}, {"unit", fact.unit}};
    put_time(row, "valid_from", fact.valid_from_s);
    put_time(row, "valid_to", fact.valid_to_s);
    facts.push_back(row);
  }
  return facts;
}

std::string text_field(const Json& body, const char* key, size_t most, bool required) {
  if (!body.contains(key) || body[key].is_null()) {
    if (required) throw DataError(fmt::format("`{}` is missing", key));
    return {};
  }
  if (!body[key].is_string()) throw DataError(fmt::format("`{}` must be text", key));
  std::string value = body[key].get<std::string>();
  if (required && value.empty()) throw DataError(fmt::format("`{}` is empty", key));
  if (value.size() > most)
    throw DataError(fmt::format("`{}` is {} bytes long; the most is {}", key, value.size(), most));
  return value;
}

}  // namespace

std::string_view to_string(ClaimKind kind) { return kKinds[static_cast<size_t>(kind)]; }
std::string_view to_string(VariantState state) { return kVariantStates[static_cast<size_t>(state)]; }
std::string_view to_string(CampaignState state) { return kCampaignStates[static_cast<size_t>(state)]; }

void to_json(Json& json, const Brief& brief) {
  json = {{"advertiser", brief.advertiser},
          {"payer", brief.payer},
          {"product", brief.product},
          {"landing_page", brief.landing_page},
          {"tone", brief.tone},
          {"language", brief.language},
          {"facts", facts_json(brief)},
          {"find_audiences", brief.find_audiences},
          {"audiences", Json::array()},
          {"must", brief.must},
          {"must_not", brief.must_not},
          {"budget", whole_units(brief.budget_micros)},
          {"max_bid", whole_units(brief.max_bid_micros)},
          {"currency", brief.currency},
          {"time_zone", brief.time_zone},
          {"max_graphemes", brief.max_graphemes},
          {"variants_per_audience", brief.variants_per_audience},
          {"frequency_cap", brief.frequency_cap}};
  for (const WantedAudience& audience : brief.audiences)
    json["audiences"].push_back({{"name", audience.name}, {"query", audience.query}});
  put_time(json, "start", brief.starts_s);
  put_time(json, "end", brief.ends_s);
}

void to_json(Json& json, const AdAudience& audience) {
  json = {{"id", audience.id},           {"name", audience.name},   {"query", audience.query},
          {"authors", audience.authors}, {"posts", audience.posts}, {"reason", audience.reason}};
}
void from_json(const Json& json, AdAudience& audience) {
  json.at("id").get_to(audience.id);
  json.at("name").get_to(audience.name);
  json.at("query").get_to(audience.query);
  json.at("authors").get_to(audience.authors);
  json.at("posts").get_to(audience.posts);
  json.at("reason").get_to(audience.reason);
}

void to_json(Json& json, const RefusedAudience& audience) {
  json = {{"name", audience.name}, {"reason", audience.reason}};
}
void from_json(const Json& json, RefusedAudience& audience) {
  json.at("name").get_to(audience.name);
  json.at("reason").get_to(audience.reason);
}

void to_json(Json& json, const Claim& claim) {
  json = {{"text", claim.text},
          {"begin", claim.begin},
          {"end", claim.end},
          {"kind", to_string(claim.kind)},
          {"supported", claim.supported},
          {"fact_id", claim.fact_id},
          {"reason", claim.reason}};
}
void from_json(const Json& json, Claim& claim) {
  json.at("text").get_to(claim.text);
  json.at("begin").get_to(claim.begin);
  json.at("end").get_to(claim.end);
  claim.kind = enum_of<ClaimKind>(kKinds, json.at("kind").get<std::string>());
  json.at("supported").get_to(claim.supported);
  json.at("fact_id").get_to(claim.fact_id);
  json.at("reason").get_to(claim.reason);
}

void to_json(Json& json, const Variant& variant) {
  json = {{"id", variant.id},
          {"audience_id", variant.audience_id},
          {"headline", variant.headline},
          {"body", variant.body},
          {"label", variant.label},
          {"graphemes", variant.graphemes},
          {"state", to_string(variant.state)},
          {"score", variant.score},
          {"reasons", variant.reasons},
          {"claims", variant.claims}};
}
void from_json(const Json& json, Variant& variant) {
  json.at("id").get_to(variant.id);
  json.at("audience_id").get_to(variant.audience_id);
  json.at("headline").get_to(variant.headline);
  json.at("body").get_to(variant.body);
  json.at("label").get_to(variant.label);
  json.at("graphemes").get_to(variant.graphemes);
  variant.state = enum_of<VariantState>(kVariantStates, json.at("state").get<std::string>());
  json.at("score").get_to(variant.score);
  json.at("reasons").get_to(variant.reasons);
  json.at("claims").get_to(variant.claims);
}

void to_json(Json& json, const Campaign& campaign) {
  json = {{"id", campaign.id},
          {"brief", campaign.brief},
          {"state", to_string(campaign.state)},
          {"writer", campaign.writer},
          {"created", format_time(campaign.created_s)},
          {"audiences", campaign.audiences},
          {"refused_audiences", campaign.refused_audiences},
          {"variants", campaign.variants},
          {"budget_micros", campaign.brief.budget_micros},
          {"spent_micros", campaign.spent_micros},
          {"reserved_micros", campaign.reserved_micros}};
}

void to_json(Json& json, const AdDecision& ad) {
  json = {{"impression_id", ad.impression_id},
          {"campaign_id", ad.campaign_id},
          {"variant_id", ad.variant_id},
          {"headline", ad.headline},
          {"body", ad.body},
          {"landing_page", ad.landing_page},
          {"label", ad.label},
          {"price_micros", ad.price_micros},
          {"currency", ad.currency},
          {"why_this_ad", ad.why_this_ad},
          {"library_url", ad.library_url},
          {"token", ad.token}};
}
void from_json(const Json& json, AdDecision& ad) {
  json.at("impression_id").get_to(ad.impression_id);
  json.at("campaign_id").get_to(ad.campaign_id);
  json.at("variant_id").get_to(ad.variant_id);
  json.at("headline").get_to(ad.headline);
  json.at("body").get_to(ad.body);
  json.at("landing_page").get_to(ad.landing_page);
  json.at("label").get_to(ad.label);
  json.at("price_micros").get_to(ad.price_micros);
  json.at("currency").get_to(ad.currency);
  json.at("why_this_ad").get_to(ad.why_this_ad);
  json.at("library_url").get_to(ad.library_url);
  json.at("token").get_to(ad.token);
}

void to_json(Json& json, const DecideResult& result) {
  if (result.ad) {
    json = {{"ad", *result.ad}};
  } else {
    json = {{"ad", nullptr}, {"reason", result.reason}};
  }
}
void from_json(const Json& json, DecideResult& result) {
  result = {};
  if (json.at("ad").is_null()) {
    json.at("reason").get_to(result.reason);
  } else {
    result.ad = json.at("ad").get<AdDecision>();
  }
}

void to_json(Json& json, const LibraryEntry& entry) {
  json = {{"campaign_id", entry.campaign_id},
          {"variant_id", entry.variant_id},
          {"advertiser", entry.advertiser},
          {"payer", entry.payer},
          {"headline", entry.headline},
          {"body", entry.body},
          {"label", entry.label},
          {"audience", entry.audience},
          {"first_shown", nullptr},
          {"last_shown", nullptr},
          {"impressions", entry.impressions},
          {"clicks", entry.clicks},
          {"spent_micros", entry.spent_micros},
          {"currency", entry.currency},
          {"claims", entry.claims}};
  if (entry.impressions > 0) {
    json["first_shown"] = format_time(entry.first_shown_s);
    json["last_shown"] = format_time(entry.last_shown_s);
  }
}

DecideRequest decide_request_from_json(std::string_view text) {
  Json body;
  try {
    body = parse_json(text);
  } catch (const Json::exception& error) {
    throw DataError(error.what());
  }
  if (!body.is_object()) throw DataError("the body must be a JSON object");
  DecideRequest request{.request_id = text_field(body, "request_id", kMaxIdBytes, true),
                        .viewer = text_field(body, "viewer", kMaxIdBytes, true),
                        .context = text_field(body, "context", kMaxContextBytes, false),
                        .language = text_field(body, "language", kMaxIdBytes, false)};
  const std::string now = text_field(body, "now", kMaxIdBytes, false);
  if (!now.empty()) {
    request.now_s = parse_time(now);
    if (!request.now_s) throw DataError("`now` must be a time such as 2026-12-24T18:00:00Z");
  }
  return request;
}

}  // namespace starling

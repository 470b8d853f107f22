// What a brief becomes: audiences, variants with their claims, and the answers of the auction. docs/formats/http-api.md
// shows the same shapes as JSON; ads/ads_json.h writes them.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ads/brief.h"

namespace starling {

// A group of at least kMinimumAudience authors, known by what they write about; never a list of people.
struct AdAudience {
  std::string id, name, query;
  int64_t authors = 0, posts = 0;
  std::string reason;
};
inline constexpr int64_t kMinimumAudience = 50;

struct RefusedAudience {
  std::string name, reason;
};

enum class ClaimKind { plain, number, unit, currency, date, name, negation, superlative };

// One statement of a variant; [begin, end) are bytes of `headline + "\n" + body`.
struct Claim {
  std::string text;
  size_t begin = 0, end = 0;
  ClaimKind kind = ClaimKind::plain;
  bool supported = false;
  std::string fact_id;  // the fact that proves it; empty for an invitation, which states nothing
  std::string reason;   // why it is not supported
};

enum class VariantState { accepted, rejected, approved };

struct Variant {
  std::string id, audience_id;
  std::string headline, body;
  std::string label;  // "AI-generated ad · paid for by ..."
  int graphemes = 0;  // of headline and body
  VariantState state = VariantState::rejected;
  double score = 0;                  // mean log-likelihood a token under the writer, plus relevance; higher is better
  std::vector<std::string> reasons;  // why it was rejected
  std::vector<Claim> claims;
};

enum class CampaignState { draft, approved, paused, ended };

struct Campaign {
  std::string id;
  Brief brief;
  CampaignState state = CampaignState::draft;
  std::string writer;  // name of the model
  int64_t created_s = 0;
  std::vector<AdAudience> audiences;
  std::vector<RefusedAudience> refused_audiences;
  std::vector<Variant> variants;  // best first: approved and accepted before rejected
  int64_t spent_micros = 0, reserved_micros = 0;
};

struct DecideRequest {
  std::string request_id;        // the same id gives the same answer
  std::string viewer;            // opaque; stored only as a keyed hash
  std::string context;           // text or query of the page
  std::string language;          // empty: any
  std::optional<int64_t> now_s;  // default: the clock
};

struct AdDecision {
  std::string impression_id, campaign_id, variant_id, headline, body, landing_page, label;
  int64_t price_micros = 0;
  std::string currency, why_this_ad, library_url;
  std::string token;  // signed; hand it back with the impression and the click
};

struct DecideResult {
  std::optional<AdDecision> ad;
  std::string reason;  // why there is none
};

// Which part of a long list; all of it unless said.
struct ListRange {
  size_t offset = 0, limit = std::numeric_limits<int64_t>::max();
};

struct LibraryEntry {
  std::string campaign_id, variant_id, advertiser, payer, headline, body, label, audience;
  int64_t first_shown_s = 0, last_shown_s = 0, impressions = 0, clicks = 0, spent_micros = 0;
  std::string currency;
  std::vector<Claim> claims;
};

std::string_view to_string(ClaimKind kind);
std::string_view to_string(VariantState state);
std::string_view to_string(CampaignState state);

}  // namespace starling

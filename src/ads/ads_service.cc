#include "ads/ads_service.h"

#include <fmt/format.h>
#include <soci/soci.h>

#include <algorithm>

#include "ads/ad_library.h"
#include "ads/ad_server.h"
#include "ads/ads_store.h"
#include "ads/audience_finder.h"
#include "ads/campaign_writer.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/time.h"
#include "store/audit_log.h"
#include "store/control_db.h"

namespace starling {

using Json = nlohmann::json;

namespace {

constexpr size_t kMaxCopyBytes = 8000;  // 2000 characters, the most that a brief allows, of 4 bytes

}  // namespace

std::vector<ConfigKey> ads_config_keys() {
  const AdsOptions fallback;
  return {{"ads.currency", fallback.currency, "ISO 4217 code of the currency that the auction runs in"},
          {"ads.reserve_price_micros", fallback.reserve_price_micros,
           "the least an impression costs, in millionths of the currency"},
          {"ads.reservation_s", fallback.reservation_s,
           "how long a decision holds its price for the impression, in seconds"},
          {"ads.attempts_per_variant", static_cast<int64_t>(fallback.attempts_per_variant),
           "how often the writer may try for one variant"},
          {"ads.seed", static_cast<int64_t>(fallback.seed), "seed of the writer's sampling"}};
}

AdsOptions ads_options(const Config& config) {
  const AdsOptions options{.currency = config.text("ads.currency"),
                           .reserve_price_micros = config.integer("ads.reserve_price_micros"),
                           .reservation_s = config.integer("ads.reservation_s"),
                           .attempts_per_variant = static_cast<int>(config.integer("ads.attempts_per_variant")),
                           .seed = static_cast<uint64_t>(config.integer("ads.seed"))};
  if (options.reserve_price_micros < 1) throw ConfigError("ads.reserve_price_micros must be at least 1");
  if (options.reservation_s < 1) throw ConfigError("ads.reservation_s must be at least 1");
  if (options.attempts_per_variant < 1) throw ConfigError("ads.attempts_per_variant must be at least 1");
  return options;
}

struct AdsService::State {
  ControlDb& control;
  SearchService* search;
  Engine* writer;
  AdsOptions options;
  Clock clock;
  AuditLog audit;
  AdServer server;

  State(ControlDb& control, SearchService* search, Engine* writer, const AdsOptions& options, Clock clock)
      : control(control),
        search(search),
        writer(writer),
        options(options),
        clock(std::move(clock)),
        audit(control),
        server(control, this->options) {}

  Campaign require(soci::session& sql, const std::string& id) const {
    std::optional<Campaign> campaign = load_campaign(sql, id);
    if (!campaign) throw DataError(fmt::format("there is no campaign `{}`", id));
    return *campaign;
  }
};

AdsService::AdsService(ControlDb& control, SearchService* search, Engine* writer, const AdsOptions& options,
                       Clock clock)
    : state_(std::make_unique<State>(control, search, writer, options, clock ? std::move(clock) : Clock(now_s))) {}

AdsService::~AdsService() = default;

Campaign AdsService::write(const Brief& brief, const OnProgress& on_progress) {
  if (state_->search == nullptr)
    throw ConfigError("finding audiences needs the search index; run `starling index` first");
  if (state_->writer == nullptr) {
    throw ConfigError(
        "writing ads needs a model; run `starling import` for TinyLlama or `starling train` for the platform's own");
  }
  if (brief.currency != state_->options.currency) {
    throw ConfigError(fmt::format("the brief pays in {}, but this workspace sells in {} (setting ads.currency)",
                                  brief.currency, state_->options.currency));
  }
  if (brief.language != "en")
    throw ConfigError(fmt::format("only ads in English (`en`) can be verified, not in `{}`", brief.language));
  Campaign campaign{.id = "c-" + random_hex(6), .brief = brief, .created_s = state_->clock()};
  write_campaign(campaign, *state_->search, *state_->writer, state_->options, on_progress);
  state_->control.transaction([&](soci::session& sql) {
    insert_campaign(sql, campaign);
    Json variants = Json::array();
    for (const Variant& variant : campaign.variants) {
      variants.push_back({{"id", variant.id},
                          {"state", to_string(variant.state)},
                          {"sha256", sha256_hex(variant.headline + "\n" + variant.body)}});
    }
    AuditLog::append_in(sql, "ad.written",
                        dump_json(Json{{"campaign_id", campaign.id},
                                       {"advertiser", brief.advertiser},
                                       {"writer", campaign.writer},
                                       {"variants", variants}}));
  });
  return *this->campaign(campaign.id);
}

std::vector<Campaign> AdsService::campaigns(const ListRange& range) const {
  std::vector<Campaign> found;
  state_->control.transaction([&](soci::session& sql) { found = load_campaigns(sql, range); });
  return found;
}

std::optional<Campaign> AdsService::campaign(const std::string& id) const {
  std::optional<Campaign> found;
  state_->control.transaction([&](soci::session& sql) { found = load_campaign(sql, id); });
  return found;
}

Campaign AdsService::approve(const std::string& campaign_id, const std::vector<std::string>& variant_ids,
                             const std::string& approver) {
  if (approver.empty()) throw DataError("an approval needs the name of the approver");
  state_->control.transaction([&](soci::session& sql) {
    Campaign campaign = state_->require(sql, campaign_id);
    if (campaign.state == CampaignState::ended) throw DataError(fmt::format("campaign `{}` has ended", campaign_id));
    std::vector<std::string> wanted = variant_ids;
    if (wanted.empty()) {
      for (const Variant& variant : campaign.variants) {
        if (variant.state != VariantState::rejected) wanted.push_back(variant.id);
      }
      if (wanted.empty())
        throw DataError(fmt::format("campaign `{}` has no variant that the checks accepted", campaign_id));
    }
    for (const std::string& id : wanted) {
      const auto variant = std::find_if(campaign.variants.begin(), campaign.variants.end(),
                                        [&](const Variant& v) { return v.id == id; });
      if (variant == campaign.variants.end())
        throw DataError(fmt::format("campaign `{}` has no variant `{}`", campaign_id, id));
      if (variant->state == VariantState::rejected)
        throw DataError(fmt::format("variant `{}` was rejected: {}", id, fmt::join(variant->reasons, "; ")));
      variant->state = VariantState::approved;
      update_variant(sql, campaign_id, *variant);
      add_to_library(sql, campaign, *variant);
    }
    if (campaign.state == CampaignState::draft) update_campaign_state(sql, campaign_id, CampaignState::approved);
    AuditLog::append_in(sql, "ad.approved",
                        dump_json(Json{{"campaign_id", campaign_id}, {"variant_ids", wanted}, {"approver", approver}}));
  });
  return *campaign(campaign_id);
}

Campaign AdsService::set_state(const std::string& campaign_id, CampaignState state) {
  state_->control.transaction([&](soci::session& sql) {
    const Campaign campaign = state_->require(sql, campaign_id);
    if (campaign.state == CampaignState::draft || state == CampaignState::draft) {
      throw DataError(fmt::format("campaign `{}` must be approved first", campaign_id));
    }
    if (campaign.state == CampaignState::ended && state != CampaignState::ended)
      throw DataError(fmt::format("campaign `{}` has ended", campaign_id));
    update_campaign_state(sql, campaign_id, state);
    AuditLog::append_in(sql, "ad.state", dump_json(Json{{"campaign_id", campaign_id}, {"state", to_string(state)}}));
  });
  return *campaign(campaign_id);
}

Variant AdsService::check(const Brief& brief, const std::string& headline, const std::string& body) const {
  for (const std::string* text : {&headline, &body}) {
    if (text->size() > kMaxCopyBytes)
      throw DataError(fmt::format("a headline or body of {} bytes; the most is {}", text->size(), kMaxCopyBytes));
  }
  return judge_copy(brief, headline, body, state_->clock());
}

DecideResult AdsService::decide(const DecideRequest& request) {
  return state_->server.decide(request, state_->clock());
}

bool AdsService::record_event(const std::string& token, const std::string& type) {
  return state_->server.record_event(token, type, state_->clock());
}

void AdsService::set_viewer_opt_out(const std::string& viewer, bool opt_out) {
  state_->server.set_viewer_opt_out(viewer, opt_out);
}

std::vector<LibraryEntry> AdsService::library(const std::string& query, const std::string& advertiser,
                                              const ListRange& range) const {
  std::vector<LibraryEntry> found;
  state_->control.transaction([&](soci::session& sql) { found = list_library(sql, query, advertiser, range); });
  return found;
}

std::optional<LibraryEntry> AdsService::library_entry(const std::string& variant_id) const {
  std::optional<LibraryEntry> found;
  state_->control.transaction([&](soci::session& sql) { found = find_library_entry(sql, variant_id); });
  return found;
}

}  // namespace starling

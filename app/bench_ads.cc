#include <fmt/format.h>
#include <soci/soci.h>

#include <algorithm>
#include <map>
#include <memory>

#include "ads/ad_candidates.h"
#include "ads/ads_service.h"
#include "ads/ads_store.h"
#include "ads/auction.h"
#include "ads/fact_ledger.h"
#include "app/bench.h"
#include "app/load_client.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/random.h"
#include "store/audit_log.h"
#include "store/control_db.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kSeed = 20231011;
constexpr int64_t kComparedAuctions = 50;  // decisions that are compared with an auction of all campaigns
constexpr int64_t kCommits = 200;
constexpr int64_t kReserve_micros = 1000;
constexpr int64_t kViewers = 500;

struct BenchAdsArguments {
  fs::path text_file;
  int64_t campaigns = 10'000, decisions = 2000;
};

// Draws from the text's lines, the same ones each time.
class Draws {
 public:
  explicit Draws(const fs::path& path) : bytes_(MappedFile(path).text()) {
    for (std::string_view rest = bytes_; !rest.empty();) {
      const size_t size = std::min(rest.find('\n'), rest.size());
      if (size > 0) lines_.push_back(rest.substr(0, size));
      rest.remove_prefix(std::min(size + 1, rest.size()));
    }
    if (lines_.empty()) throw DataError(fmt::format("{}: is empty; give a text file, one post a line", path.string()));
  }
  uint64_t number(uint64_t below) { return random_u64(kSeed, 0, next_++) % below; }
  std::string line() { return std::string(lines_[number(lines_.size())]); }
  std::string words(size_t count) {
    std::string drawn;
    for (size_t found = 0, tries = 0; found < count && tries < 100; ++tries)
      for (const std::string& word : statement_words(line())) {
        if (found == count || number(4) != 0) continue;
        drawn += (drawn.empty() ? "" : " ") + word;
        ++found;
      }
    return drawn.empty() ? "product" : drawn;
  }

 private:
  std::string bytes_;
  std::vector<std::string_view> lines_;
  uint64_t next_ = 0;
};

Campaign draw_campaign(Draws& draws, int64_t number) {
  Campaign campaign{.id = fmt::format("c-{}", number), .state = CampaignState::approved, .writer = "benchmark"};
  Brief& brief = campaign.brief;
  brief.advertiser = brief.payer = fmt::format("Advertiser {}", number);
  brief.product = draws.words(2);
  brief.landing_page = "https://example.org/";
  brief.currency = "USD";
  brief.find_audiences = true;
  brief.max_bid_micros = static_cast<int64_t>(2000 + draws.number(20'000));
  brief.budget_micros = brief.max_bid_micros * static_cast<int64_t>(1 + draws.number(100));
  brief.frequency_cap = static_cast<int>(1 + draws.number(5));
  for (const char* id : {"first", "second"}) brief.facts.push_back({.id = id, .name = draws.words(1), .value = "true"});
  for (int audience = 0; audience < 3; ++audience) {
    const std::string word = draws.words(1), id = fmt::format("a{}", audience);
    campaign.audiences.push_back({.id = id, .name = word, .query = "+" + word, .authors = kMinimumAudience});
    campaign.variants.push_back({.id = fmt::format("{}-{}", campaign.id, id),
                                 .audience_id = id,
                                 .headline = brief.product,
                                 .body = "Discover " + brief.facts[0].name,
                                 .state = VariantState::approved});
  }
  return campaign;
}

// The auction as it is defined, over every campaign: what the service must answer.
class WholeAuction {
 public:
  explicit WholeAuction(const std::vector<Campaign>& campaigns) : campaigns_(campaigns) {
    for (const Campaign& campaign : campaigns) left_[campaign.id] = campaign.brief.budget_micros;
  }
  void check(const DecideRequest& request, const DecideResult& result) {
    std::vector<Bid> bids;
    for (const Campaign& campaign : campaigns_) {
      const int64_t left = left_.at(campaign.id);
      if (left < kReserve_micros || shown_[{request.viewer, campaign.id}] >= campaign.brief.frequency_cap) continue;
      Bid bid{.campaign_id = campaign.id, .max_bid_micros = std::min(campaign.brief.max_bid_micros, left)};
      for (const Variant& variant : campaign.variants) {
        const double fit = context_relevance(ad_keywords(campaign, variant), request.context);
        if (fit > bid.relevance) bid.relevance = fit, bid.variant_id = variant.id;
      }
      if (bid.relevance > 0) bids.push_back(std::move(bid));
    }
    const auto outcome = second_price(bids, kReserve_micros, request.request_id);
    const bool same = outcome.has_value() == result.ad.has_value() &&
                      (!outcome || (bids[outcome->winner].variant_id == result.ad->variant_id &&
                                    outcome->price_micros == result.ad->price_micros));
    if (!same)
      throw Error(fmt::format("the benchmark's result is wrong: decision {} differs from the auction of all campaigns",
                              request.request_id));
  }
  void spend(const DecideRequest& request, const AdDecision& ad) {
    left_.at(ad.campaign_id) -= ad.price_micros;
    ++shown_[{request.viewer, ad.campaign_id}];
  }

 private:
  const std::vector<Campaign>& campaigns_;
  std::map<std::string, int64_t> left_;
  std::map<std::pair<std::string, std::string>, int> shown_;
};

nlohmann::ordered_json measure(const BenchAdsArguments& arguments) {
  Draws draws(arguments.text_file);
  const ScratchWorkspace scratch;
  ControlDb control(scratch.workspace.control_db());
  AdsService ads(control, nullptr, nullptr, AdsOptions{.reserve_price_micros = kReserve_micros});
  std::vector<Campaign> campaigns;
  for (int64_t i = 0; i < arguments.campaigns; ++i) campaigns.push_back(draw_campaign(draws, i));
  control.transaction([&](soci::session& sql) {
    for (const Campaign& campaign : campaigns) insert_campaign(sql, campaign);
  });
  AuditLog audit(control);
  const Spread commit = time_rounds(kCommits, [&] { audit.append("bench", "{}"); });

  WholeAuction auction(campaigns);
  std::vector<double> seconds;
  int64_t shown = 0;
  double first = 0, after_change = 0;
  for (int64_t i = 0; i < arguments.decisions; ++i) {
    const DecideRequest request{.request_id = fmt::format("r-{}", i),
                                .viewer = fmt::format("v-{}", draws.number(kViewers)),
                                .context = draws.line()};
    const bool changed = i == arguments.decisions / 2;
    if (changed) ads.set_state(campaigns.back().id, CampaignState::approved);
    const double start = monotonic_s();
    const DecideResult result = ads.decide(request);
    const double took = monotonic_s() - start;
    if (i == 0) first = took;
    else if (changed) after_change = took;
    else seconds.push_back(took);
    if (i < kComparedAuctions) auction.check(request, result);
    if (!result.ad) continue;
    ++shown;
    auction.spend(request, *result.ad);
    ads.record_event(result.ad->token, "impression");
  }
  return {{"campaigns", arguments.campaigns},
          {"decisions", arguments.decisions},
          {"with_ad", shown},
          {"decision_p50_ms", 1000 * percentile(seconds, 0.5)},
          {"decision_p99_ms", 1000 * percentile(seconds, 0.99)},
          {"commit_p50_ms", 1000 * commit.median},
          {"first_decision_ms", 1000 * first},
          {"decision_after_change_ms", 1000 * after_change}};
}

void bench_ads(const BenchAdsArguments& arguments, const GlobalOptions& options) {
  const nlohmann::ordered_json result = measure(arguments);
  if (options.json) return fmt::print("{}\n", dump_json(result, 2));
  fmt::print(
      "{} decisions among {} campaigns, {} with an ad; the first {} are those of an auction of all campaigns\n"
      "a decision: {:.2f} ms (median; 99 of 100 within {:.2f}); a commit of one audit record alone: {:.2f} ms\n"
      "the first decision: {:.0f} ms; the one after a campaign changed: {:.2f} ms\n",
      arguments.decisions, arguments.campaigns, result["with_ad"].get<int64_t>(),
      std::min(kComparedAuctions, arguments.decisions), result["decision_p50_ms"].get<double>(),
      result["decision_p99_ms"].get<double>(), result["commit_p50_ms"].get<double>(),
      result["first_decision_ms"].get<double>(), result["decision_after_change_ms"].get<double>());
}

}  // namespace

void add_bench_ads(Command bench, const GlobalOptions& options) {
  Command command = bench.add_subcommand("ads", "Decisions of the auction among many campaigns, beside a bare commit");
  auto arguments = std::make_shared<BenchAdsArguments>();
  command.add_option("text", arguments->text_file, "A text file, one post a line: pages and campaigns are drawn of it")
      .required()
      .existing_file();
  add_size(command, "--campaigns", arguments->campaigns, "Campaigns that are approved");
  command.add_option("--decisions", arguments->decisions, "Pages that ask for an ad")
      .between(int64_t{10}, int64_t{1} << 20)
      .show_default();
  command.footer("Examples:\n  starling bench ads tweets.txt\n  starling bench ads tweets.txt --campaigns 100 --json");
  command.callback([arguments, &options] { bench_ads(*arguments, options); });
}

}  // namespace starling

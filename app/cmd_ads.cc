#include <fmt/format.h>

#include <optional>

#include "ads/ads_json.h"
#include "ads/ads_service.h"
#include "app/command.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/time.h"
#include "infer/engine.h"
#include "posts/post_store.h"
#include "search/search_service.h"
#include "store/control_db.h"

namespace starling {
namespace {

using Json = nlohmann::json;

// Every micro-unit of it, and two decimals at least: "25.00 USD", "0.0025 USD".
std::string money(int64_t micros, const std::string& currency) {
  std::string amount = fmt::format("{}.{:06}", micros / 1'000'000, micros % 1'000'000);
  for (int decimals = 6; decimals > 2 && amount.back() == '0'; --decimals) amount.pop_back();
  return amount + " " + currency;
}

std::string claim_line(const Claim& claim) {
  if (!claim.supported) return fmt::format("      ✗ “{}” {}: {}\n", claim.text, to_string(claim.kind), claim.reason);
  const std::string proof = claim.fact_id.empty() ? "states nothing" : "fact " + claim.fact_id;
  return fmt::format("      ✓ “{}” {}: {}\n", claim.text, to_string(claim.kind), proof);
}

void print_variant(const Variant& variant) {
  fmt::print("  {} {} for {} ({} characters, score {:.3f})\n", to_string(variant.state), variant.id,
             variant.audience_id, variant.graphemes, variant.score);
  fmt::print("    {}\n    {}\n    [{}]\n", variant.headline, variant.body, variant.label);
  for (const Claim& claim : variant.claims) fmt::print("{}", claim_line(claim));
  if (variant.state == VariantState::rejected) fmt::print("      why not: {}\n", fmt::join(variant.reasons, "; "));
}

void print_campaign(const Campaign& campaign) {
  const Brief& brief = campaign.brief;
  fmt::print("Campaign {} ({}): {} by {}, written by {}\n", campaign.id, to_string(campaign.state), brief.product,
             brief.advertiser, campaign.writer);
  fmt::print("Budget {}, spent {}, reserved {}\n", money(brief.budget_micros, brief.currency),
             money(campaign.spent_micros, brief.currency), money(campaign.reserved_micros, brief.currency));
  fmt::print("Audiences\n");
  for (const AdAudience& audience : campaign.audiences)
    fmt::print("  {} {} `{}`: {}\n", audience.id, audience.name, audience.query, audience.reason);
  for (const RefusedAudience& refused : campaign.refused_audiences)
    fmt::print("  refused {}: {}\n", refused.name, refused.reason);
  fmt::print("Variants\n");
  for (const Variant& variant : campaign.variants) print_variant(variant);
  if (campaign.state == CampaignState::draft)
    fmt::print("Next: starling ads approve {} --approver NAME\n", campaign.id);
}

// Opens what `ads write` needs; the other commands do with the control database.
struct WriterSide {
  Workspace workspace;
  Config config;
  ControlDb control;
  PostStore posts;
  SearchService search;
  std::unique_ptr<Engine> writer;

  WriterSide(const GlobalOptions& options, const std::string& writer_name)
      : workspace(options.open_workspace()),
        config(options.config()),
        control(workspace.control_db()),
        posts(workspace.posts()),
        search(workspace, config, posts, control, nullptr),
        writer(Engine::load(workspace.model(writer_name.empty() ? installed_writer() : writer_name))) {}

  // TinyLlama where it is installed, else the platform's own.
  std::string installed_writer() const {
    const std::string wanted = config.text("server.writer");
    return std::filesystem::exists(workspace.model(wanted) / "config.json") ? wanted : config.text("server.model");
  }
};

struct LedgerSide {
  ControlDb control;
  AdsService ads;
  explicit LedgerSide(const GlobalOptions& options)
      : control(options.open_workspace().control_db()), ads(control, nullptr, nullptr, ads_options(options.config())) {}
};

void print_result(const GlobalOptions& options, const Campaign& campaign) {
  if (options.json) {
    fmt::print("{}\n", dump_json(Json(campaign)));
  } else {
    print_campaign(campaign);
  }
}

void write(const GlobalOptions& options, const std::filesystem::path& file, const std::string& writer) {
  const Brief brief = file.extension() == ".json" ? brief_from_json(read_file(file), file.string())
                                                  : brief_from_toml(read_file(file), file.string());
  WriterSide side(options, writer);
  AdsService ads(side.control, &side.search, side.writer.get(), ads_options(side.config));
  std::optional<Progress> progress(std::in_place, "ads", 100, "%");
  const Campaign campaign = ads.write(brief, [&](double fraction, const std::string& note) {
    progress->update(static_cast<uint64_t>(100 * fraction), note);
  });
  progress.reset();
  print_result(options, campaign);
}

void show(const GlobalOptions& options, const std::string& id) {
  LedgerSide side(options);
  const std::optional<Campaign> campaign = side.ads.campaign(id);
  if (!campaign) throw DataError(fmt::format("there is no campaign `{}`; `starling ads list` names them", id));
  print_result(options, *campaign);
}

void list(const GlobalOptions& options) {
  LedgerSide side(options);
  const std::vector<Campaign> campaigns = side.ads.campaigns();
  if (options.json) return fmt::print("{}\n", dump_json(Json{{"campaigns", campaigns}}));
  if (campaigns.empty()) fmt::print("No campaigns yet; `starling ads write brief.toml` makes one.\n");
  for (const Campaign& campaign : campaigns) {
    fmt::print("{}  {:<9} {}  {}: spent {} of {}\n", campaign.id, to_string(campaign.state),
               format_time(campaign.created_s), campaign.brief.product,
               money(campaign.spent_micros, campaign.brief.currency),
               money(campaign.brief.budget_micros, campaign.brief.currency));
  }
}

void decide(const GlobalOptions& options, const DecideRequest& request) {
  LedgerSide side(options);
  const DecideResult result = side.ads.decide(request);
  if (options.json) return fmt::print("{}\n", dump_json(Json(result)));
  if (!result.ad) return fmt::print("No ad: {}\n", result.reason);
  const AdDecision& ad = *result.ad;
  fmt::print("{}\n{}\n[{}] {}\nprice {}; {}\n{}\nlibrary {}\ntoken {}\n", ad.headline, ad.body, ad.label,
             ad.landing_page, money(ad.price_micros, ad.currency), ad.variant_id, ad.why_this_ad, ad.library_url,
             ad.token);
}

void event(const GlobalOptions& options, const std::string& token, const std::string& type) {
  LedgerSide side(options);
  const bool recorded = side.ads.record_event(token, type);
  if (options.json) return fmt::print("{}\n", dump_json(Json{{"recorded", recorded}}));
  fmt::print("{}\n", recorded ? "Recorded." : "Known already.");
}

void add_write(Command ads, const GlobalOptions& options) {
  Command command = ads.add_subcommand("write", "Find audiences and write, verify and rank ads for a brief");
  auto file = std::make_shared<std::string>(), writer = std::make_shared<std::string>();
  command.add_option("brief", *file, "The brief, .toml or .json").required().existing_file();
  command.add_option("--writer", *writer,
                     "Model under models/ that writes (default: server.writer, else the platform's own)");
  command.footer("Example:\n  starling ads write examples/briefs/coffee.toml");
  command.callback([&options, file, writer] { write(options, *file, *writer); });
}

void add_approve(Command ads, const GlobalOptions& options) {
  Command command = ads.add_subcommand("approve", "Let accepted variants of a campaign run");
  auto id = std::make_shared<std::string>(), approver = std::make_shared<std::string>();
  auto variants = std::make_shared<std::vector<std::string>>();
  command.add_option("campaign", *id, "The campaign's id").required();
  command.add_option("--variant", *variants, "Only this one (repeatable; default: every accepted one)")
      .one_value_each();
  command.add_option("--approver", *approver, "Who approves; kept in the audit log").required();
  command.footer("Example:\n  starling ads approve c-3f9a1c27d0b4 --approver ines");
  command.callback([&options, id, approver, variants] {
    LedgerSide side(options);
    print_result(options, side.ads.approve(*id, *variants, *approver));
  });
}

void add_decide(Command ads, const GlobalOptions& options) {
  Command command = ads.add_subcommand("decide", "Run one auction, as POST /v1/ads/decide does");
  auto request = std::make_shared<DecideRequest>();
  command.add_option("--request", request->request_id, "Id of the request; the same id gives the same answer")
      .required();
  command.add_option("--viewer", request->viewer, "Opaque id of the viewer").required();
  command.add_option("--context", request->context, "Text or query of the page");
  command.add_option("--language", request->language, "Language of the page");
  command.footer("Example:\n  starling ads decide --request r1 --viewer v1 --context \"a laptop for Linux\"");
  command.callback([&options, request] { decide(options, *request); });
}

void add_event(Command ads, const GlobalOptions& options) {
  Command command = ads.add_subcommand("event", "Count an impression or a click of a decision");
  auto token = std::make_shared<std::string>(), type = std::make_shared<std::string>("impression");
  command.add_option("token", *token, "The decision's token").required();
  command.add_option("--type", *type, "impression or click").show_default();
  command.footer("Example:\n  starling ads event s1.imp-….… --type click");
  command.callback([&options, token, type] { event(options, *token, *type); });
}

}  // namespace

void add_ads(Command root, const GlobalOptions& options) {
  Command ads = root.add_subcommand("ads", "Write, check, approve and serve ads");
  ads.require_subcommand();
  ads.footer(
      "Examples:\n  starling ads write examples/briefs/laptop.toml\n  starling ads list\n  starling ads approve ID "
      "--approver ines\n"
      "  starling ads decide --request r1 --viewer v1 --context \"a laptop for Linux\"");
  add_write(ads, options);
  add_approve(ads, options);
  add_decide(ads, options);
  add_event(ads, options);
  auto id = std::make_shared<std::string>();
  Command shown = ads.add_subcommand("show", "One campaign with its audiences, variants and claims");
  shown.add_option("campaign", *id, "The campaign's id").required();
  shown.footer("Example:\n  starling ads show c-3f9a1c27d0b4");
  shown.callback([&options, id] { show(options, *id); });
  Command listed = ads.add_subcommand("list", "Every campaign with its state and spending");
  listed.footer("Example:\n  starling ads list --json");
  listed.callback([&options] { list(options); });
}

}  // namespace starling

#include "ads/campaign_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "ads/audience_finder.h"
#include "ads/copywriter.h"
#include "ads/fact_ledger.h"
#include "ads/policy.h"
#include "ads/text_scan.h"
#include "ads/verifier.h"
#include "core/stop.h"
#include "infer/engine.h"

namespace starling {
namespace {

// The draft without the sentences that hold an unsupported claim; none when nothing is left, or nothing was wrong.
std::optional<Draft> without_unsupported(const Variant& variant) {
  const size_t body_begin = variant.headline.size() + 1;
  Draft kept{variant.headline, {}};
  bool dropped = false;
  size_t begin = 0;
  while (begin < variant.body.size()) {
    size_t end = variant.body.find_first_of(".!?", begin);
    // A full stop inside a number or a name does not end a sentence.
    while (end != std::string::npos && end + 1 < variant.body.size() && variant.body[end + 1] != ' ')
      end = variant.body.find_first_of(".!?", end + 1);
    end = end == std::string::npos ? variant.body.size() : end + 1;
    const bool supported = std::all_of(variant.claims.begin(), variant.claims.end(), [&](const Claim& claim) {
      return claim.supported || claim.end <= body_begin + begin || claim.begin >= body_begin + end;
    });
    if (supported) kept.body += variant.body.substr(begin, end - begin);
    dropped = dropped || !supported;
    begin = end;
  }
  kept.body.erase(0, kept.body.find_first_not_of(' '));
  if (!dropped || kept.body.empty()) return std::nullopt;
  return kept;
}

class CampaignWriter {
 public:
  CampaignWriter(Campaign& campaign, Engine& engine, const AdsOptions& options,
                 const AdsService::OnProgress& on_progress)
      : campaign_(campaign),
        options_(options),
        on_progress_(on_progress),
        copywriter_(engine, campaign.brief, options.seed) {}

  void write() {
    for (size_t i = 0; i < campaign_.audiences.size() && !stop_requested(); ++i) write_for(campaign_.audiences[i], i);
    std::stable_sort(campaign_.variants.begin(), campaign_.variants.end(), [](const Variant& a, const Variant& b) {
      return std::pair(a.state, -a.score) < std::pair(b.state, -b.score);
    });
  }

 private:
  void write_for(const AdAudience& audience, size_t place) {
    const int wanted = campaign_.brief.variants_per_audience, attempts = wanted * options_.attempts_per_variant;
    int accepted = 0;
    for (int attempt = 0; attempt < attempts && accepted < wanted && !stop_requested(); ++attempt) {
      const double done = (static_cast<double>(place) + static_cast<double>(attempt) / attempts) /
                          static_cast<double>(campaign_.audiences.size());
      if (on_progress_)
        on_progress_(done, fmt::format("“{}”: attempt {}, {} accepted", audience.name, attempt + 1, accepted));
      const Draft draft = copywriter_.draft(audience, campaign_.created_s);
      const Variant judged = add(draft, audience);
      accepted += judged.state == VariantState::accepted ? 1 : 0;
      if (judged.state == VariantState::accepted) continue;
      if (const auto shorter = without_unsupported(judged))
        accepted += add(*shorter, audience).state == VariantState::accepted ? 1 : 0;
    }
  }

  // Judges a draft and keeps it, unless the same text is there already.
  Variant add(const Draft& draft, const AdAudience& audience) {
    Variant variant = judge_copy(campaign_.brief, draft.headline, draft.body, campaign_.created_s);
    if (!texts_.insert(audience.id + "\n" + fold_text(draft.headline + "\n" + draft.body)).second) {
      variant.state = VariantState::rejected;
      return variant;
    }
    variant.id = fmt::format("{}-v{}", campaign_.id, campaign_.variants.size() + 1);
    variant.audience_id = audience.id;
    if (variant.state == VariantState::accepted) variant.score = copywriter_.fluency(draft);
    campaign_.variants.push_back(variant);
    return variant;
  }

  Campaign& campaign_;
  const AdsOptions& options_;
  const AdsService::OnProgress& on_progress_;
  Copywriter copywriter_;
  std::set<std::string> texts_;
};

}  // namespace

void write_campaign(Campaign& campaign, SearchService& search, Engine& writer, const AdsOptions& options,
                    const AdsService::OnProgress& on_progress) {
  campaign.writer = writer.name();
  if (on_progress) on_progress(0, "finding audiences");
  FoundAudiences found = find_audiences(campaign.brief, search);
  campaign.audiences = std::move(found.audiences);
  campaign.refused_audiences = std::move(found.refused);
  CampaignWriter(campaign, writer, options, on_progress).write();
  if (on_progress) on_progress(1, "done");
}

Variant judge_copy(const Brief& brief, const std::string& headline, const std::string& body, int64_t time_s) {
  Variant variant{.headline = headline, .body = body, .label = ad_label(brief)};
  variant.graphemes = count_graphemes(headline) + count_graphemes(body);
  variant.reasons = policy_problems(brief, headline, body);
  variant.claims = verify_claims(FactLedger(brief, time_s), headline, body);
  for (const Claim& claim : variant.claims) {
    if (!claim.supported) variant.reasons.push_back(fmt::format("“{}”: {}", claim.text, claim.reason));
  }
  variant.state = variant.reasons.empty() ? VariantState::accepted : VariantState::rejected;
  return variant;
}

}  // namespace starling

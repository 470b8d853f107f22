#include "search/ranker.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/time.h"
#include "infer/engine.h"

namespace starling {
namespace {

constexpr double kSecondsPerDay = 86400;

// Reads the weight `name`, a share from 0 to 1.
double share(const Config& config, const char* name) {
  const double value = config.number(name);
  if (!(value >= 0 && value <= 1)) throw ConfigError(fmt::format("{} = {}: must lie between 0 and 1", name, value));
  return value;
}

}  // namespace

std::vector<ConfigKey> search_config_keys() {
  return {{"search.k1", 0.9, "BM25: how fast repeating a word stops to count; 0.9 suits short posts"},
          {"search.b", 0.4, "BM25: how much long posts are marked down, 0 to 1"},
          {"search.vector_weight", -1.0,
           "Share of the vector score in the fused score, 0 to 1; -1: as `starling index --tune` measured"},
          {"search.recency_weight", 0.02, "Most that freshness adds to a fused score, 0 to 1"},
          {"search.engagement_weight", 0.03, "Most that likes, reposts and replies add to a fused score, 0 to 1"},
          {"search.candidates", int64_t{200}, "Posts that each stage hands to the fusion, 10 to 5000"}};
}

RankingSettings read_ranking_settings(const Config& config) {
  RankingSettings settings;
  settings.bm25 = {config.number("search.k1"), share(config, "search.b")};
  if (!(settings.bm25.k1 >= 0))
    throw ConfigError(fmt::format("search.k1 = {}: must not be negative", settings.bm25.k1));
  settings.vector_weight = config.number("search.vector_weight") < 0 ? -1 : share(config, "search.vector_weight");
  settings.priors = {share(config, "search.recency_weight"), share(config, "search.engagement_weight")};
  const int64_t candidates = config.integer("search.candidates");
  if (candidates < 10 || candidates > 5000)
    throw ConfigError(fmt::format("search.candidates = {}: must lie between 10 and 5000", candidates));
  settings.candidates = static_cast<int>(candidates);
  return settings;
}

std::vector<VectorMatch> Ranker::find_vectors(const Query& query, int depth,
                                              const PostIndexReader::Accept& accept) const {
  const std::string text = query.text();
  if (!vectors_ || !embedder_ || text.empty()) return {};
  const std::optional<std::unordered_set<DocId>> allowed = reader_.filter(query);
  std::vector<VectorMatch> found = vectors_->find(embedder_->embed(text), depth, allowed ? &*allowed : nullptr);
  std::erase_if(found, [&](const VectorMatch& match) {
    const std::optional<PostSummary> summary = reader_.summary(match.docid);
    return !summary || (accept && !accept(*summary));
  });
  return found;
}

void Ranker::add_priors(std::vector<RankedMatch>& matches, const Query& query) const {
  const int64_t newest_s = query.until_s.value_or(reader_.newest_time_s().value_or(now_s()));
  for (RankedMatch& match : matches) {
    const std::optional<PostSummary> post = reader_.summary(match.docid);
    if (!post) continue;  // deleted since it was found: the caller drops it
    match.score +=
        prior(settings_.priors, static_cast<double>(newest_s - post->time_s) / kSecondsPerDay, post->engagement);
  }
  sort_best_first(matches);
}

Candidates Ranker::retrieve(const Query& query, SearchStage stage, int depth,
                            const PostIndexReader::Accept& accept) const {
  Candidates out;
  if (stage != SearchStage::vector) out.lexical = reader_.find(query, depth, accept);
  if (stage != SearchStage::lexical) out.vectors = find_vectors(query, depth, accept);
  return out;
}

Ranking Ranker::order(const Candidates& candidates, SearchStage stage, const Query& query) const {
  Ranking ranking;
  if (stage == SearchStage::lexical) {
    ranking.matches = fuse(candidates.lexical.matches, {}, 0);
    for (RankedMatch& match : ranking.matches) match.score = match.lexical_score;
  } else if (stage == SearchStage::vector) {
    ranking.matches = fuse({}, candidates.vectors, 1);
  } else {
    // Without vectors the fused score is the lexical one.
    const double weight = candidates.vectors.empty() ? 0.0 : settings_.vector_weight;
    ranking.matches = fuse(candidates.lexical.matches, candidates.vectors, weight);
  }
  if (stage == SearchStage::ranked) add_priors(ranking.matches, query);
  ranking.estimated_total = std::max(candidates.lexical.estimated_total, static_cast<int64_t>(ranking.matches.size()));
  return ranking;
}

}  // namespace starling

#include "search/ranker.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "core/error.h"
#include "core/time.h"
#include "infer/engine.h"
#include "search/index_sync.h"

namespace starling {
namespace {

constexpr size_t kVectorFeedbackPosts = 3;
constexpr double kMaxFeedbackWeight = 0.9;  // at 1 nothing of the query would be left

// Reads the weight `name`, a share from 0 to 1.
double share(const Config& config, const char* name) {
  const double value = config.number(name);
  if (!(value >= 0 && value <= 1)) throw ConfigError(fmt::format("{} = {}: must lie between 0 and 1", name, value));
  return value;
}

int64_t count(const Config& config, const char* name, int64_t least, int64_t most) {
  const int64_t value = config.integer(name);
  if (value < least || value > most)
    throw ConfigError(fmt::format("{} = {}: must lie between {} and {}", name, value, least, most));
  return value;
}

void normalize(std::vector<float>& values) {
  float squares = 1e-12f;
  for (const float value : values) squares += value * value;
  for (float& value : values) value /= std::sqrt(squares);
}

}  // namespace

std::vector<ConfigKey> search_config_keys() {
  return {{"search.k1", 0.9, "BM25: how fast repeating a word stops to count; 0.9 suits short posts"},
          {"search.b", 0.4, "BM25: how much long posts are marked down, 0 to 1"},
          {"search.feedback_posts", int64_t{10}, "RM3: how many of the best posts lend their words, 1 to 100"},
          {"search.feedback_terms", int64_t{10}, "RM3: how many of their words join the query, 1 to 100"},
          {"search.feedback_weight", 0.5, "RM3: share of those words in the query, 0 (off) to 0.9"},
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
  settings.feedback = {static_cast<int>(count(config, "search.feedback_posts", 1, 100)),
                       static_cast<int>(count(config, "search.feedback_terms", 1, 100)),
                       share(config, "search.feedback_weight")};
  if (settings.feedback.weight > kMaxFeedbackWeight)
    throw ConfigError(
        fmt::format("search.feedback_weight = {}: must be at most {}", settings.feedback.weight, kMaxFeedbackWeight));
  settings.vector_weight = config.number("search.vector_weight") < 0 ? -1 : share(config, "search.vector_weight");
  settings.priors = {share(config, "search.recency_weight"), share(config, "search.engagement_weight")};
  settings.candidates = static_cast<int>(count(config, "search.candidates", 10, 5000));
  return settings;
}

std::vector<float> Ranker::embed(const std::string& text, const LexicalResult& words) const {
  std::vector<float> query = embedder_->embed(embedded_text(text)), best(query.size(), 0.0f);
  for (size_t i = 0; i < std::min(kVectorFeedbackPosts, words.matches.size()); ++i) {
    const std::vector<float> row = vectors_->row(words.matches[i].docid);
    for (size_t c = 0; c < row.size(); ++c) best[c] += static_cast<float>(words.matches[i].score) * row[c];
  }
  normalize(best);
  for (size_t c = 0; c < query.size(); ++c) query[c] += best[c];
  normalize(query);
  return query;
}

std::vector<VectorMatch> Ranker::find_vectors(const Query& query, const Candidates& words, int depth,
                                              const PostIndexReader::Accept& accept) const {
  const std::string text = query.text();
  if (!vectors_ || !embedder_ || text.empty()) return {};
  const std::optional<std::unordered_set<DocId>> allowed = reader_.filter(query);
  const std::vector<float> embedding = embed(text, words.lexical);
  const std::vector<VectorMatch> nearest = vectors_->find(embedding, depth, allowed ? &*allowed : nullptr);
  std::vector<DocId> docids;
  for (const VectorMatch& match : nearest) docids.push_back(match.docid);
  const std::vector<std::optional<PostSummary>> posts = reader_.summaries(docids);
  std::vector<VectorMatch> found;
  for (size_t i = 0; i < nearest.size(); ++i)
    if (posts[i] && (!accept || accept(posts[i]->id, posts[i]->author))) found.push_back(nearest[i]);
  std::unordered_set<DocId> known;
  for (const VectorMatch& match : found) known.insert(match.docid);
  std::vector<DocId> others;
  for (const LexicalResult* list : {&words.lexical, &words.feedback})
    for (const LexicalMatch& match : list->matches)
      if (known.insert(match.docid).second) others.push_back(match.docid);
  const std::vector<VectorMatch> more = vectors_->cosines(embedding, others);
  found.insert(found.end(), more.begin(), more.end());
  return found;
}

void Ranker::add_priors(std::vector<RankedMatch>& matches, const Query& query) const {
  const int64_t newest_s = query.until_s.value_or(reader_.newest_time_s().value_or(now_s()));
  std::vector<DocId> docids;
  for (const RankedMatch& match : matches) docids.push_back(match.docid);
  const std::vector<std::optional<PostSummary>> posts = reader_.summaries(docids);
  for (size_t i = 0; i < matches.size(); ++i) {
    if (!posts[i]) continue;  // deleted since it was found: the caller drops it
    const double age_days = static_cast<double>(newest_s - posts[i]->time_s) / kDay_s;
    matches[i].score += prior(settings_.priors, age_days, posts[i]->engagement);
  }
  sort_best_first(matches);
}

Candidates Ranker::retrieve(const Query& query, SearchStage stage, int depth,
                            const PostIndexReader::Accept& accept) const {
  Candidates out;
  out.lexical = reader_.find(query, depth, accept);
  if (stage == SearchStage::lexical) return out;
  if (stage != SearchStage::vector) {
    const std::vector<WeightedTerm> expansion = reader_.expand(query, out.lexical, settings_.feedback);
    if (!expansion.empty()) out.feedback = reader_.find(query, depth, accept, expansion);
  }
  if (stage == SearchStage::feedback) return out;
  out.vectors = find_vectors(query, out, depth, accept);
  return out;
}

Ranking Ranker::order(const Candidates& candidates, SearchStage stage, const Query& query) const {
  const std::vector<LexicalMatch>&lexical = candidates.lexical.matches, &feedback = candidates.feedback.matches;
  Ranking ranking;
  if (stage == SearchStage::lexical || stage == SearchStage::feedback) {
    ranking.matches = fuse(stage == SearchStage::lexical || feedback.empty() ? lexical : feedback, {}, {}, 0);
    for (RankedMatch& match : ranking.matches) match.score = match.lexical_score;
  } else if (stage == SearchStage::vector) {
    ranking.matches = fuse({}, {}, candidates.vectors, 1);
  } else {
    // Without vectors the fused score is that of the words.
    ranking.matches =
        fuse(lexical, feedback, candidates.vectors, candidates.vectors.empty() ? 0.0 : settings_.vector_weight);
  }
  if (stage == SearchStage::ranked) add_priors(ranking.matches, query);
  ranking.estimated_total = std::max(candidates.lexical.estimated_total, static_cast<int64_t>(ranking.matches.size()));
  return ranking;
}

}  // namespace starling

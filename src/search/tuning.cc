#include "search/tuning.h"

#include <fmt/format.h>

#include <limits>
#include <unordered_map>

#include "core/error.h"
#include "core/file.h"
#include "infer/engine.h"
#include "search/index_sync.h"
#include "train/contrastive.h"

namespace starling {
namespace {

constexpr size_t kVectorWeights = 10;

double vector_weight(size_t step) { return static_cast<double>(step) / kVectorWeights; }

PostIndexReader::Accept live_only(const ControlDb& control) {
  return [&control](const std::string& post_id, const std::string& author) {
    return !control.is_deleted(post_id, author) && !control.has_opted_out(author, "search");
  };
}

// The fused runs of all vector weights, from one retrieval a query.
std::vector<Run> runs_by_vector_weight(const Ranker& ranker, const PostIndexReader& reader,
                                       const HeldOutQueries& development, int depth, const ControlDb& control) {
  std::vector<Run> runs(kVectorWeights);
  const PostIndexReader::Accept live = live_only(control);
  for (const EvaluationQuery& query : development.queries) {
    const Candidates found = ranker.retrieve(query.query, SearchStage::fused, depth, without_source(query, live));
    std::unordered_map<DocId, std::string> ids;
    for (size_t step = 0; step < kVectorWeights; ++step)
      for (const RankedMatch& match :
           fuse(found.lexical.matches, found.feedback.matches, found.vectors, vector_weight(step))) {
        const auto [entry, fresh] = ids.try_emplace(match.docid);
        if (fresh)
          if (const auto post = reader.summary(match.docid)) entry->second = post->id;
        if (!entry->second.empty()) runs[step][query.id].push_back({entry->second, match.score});
      }
  }
  return runs;
}

}  // namespace

TuneReport tune_embedder(const Workspace& workspace, const Config& config, const PostStore& posts,
                         const ControlDb& control, const std::string& base, double seconds) {
  const TimeSplit split = split_by_time(workspace, config, posts);
  TuningPairs pairs = tuning_pairs(posts, control, split.tune_before);
  if (pairs.texts.size() < kMinPairs)
    throw DataError(
        fmt::format("the posts give {} pairs (replies, threads, shared hashtags, long posts); tuning needs {}",
                    pairs.texts.size(), kMinPairs));
  EmbeddingTuneOptions options;
  options.seconds = seconds;
  options.seen = std::move(pairs.seen);
  TuneReport report;
  report.model = base + "-embed";
  const EmbeddingTuneResult result =
      tune_embeddings(workspace.model(base), workspace.model(report.model), pairs.texts, options);
  report.pairs = static_cast<int64_t>(pairs.texts.size());
  report.steps = result.steps;
  report.first_loss = result.first_loss;
  report.last_loss = result.last_loss;
  return report;
}

double choose_vector_weight(const Workspace& workspace, const Config& config, const PostStore& posts,
                            const ControlDb& control, Engine& embedder) {
  const std::unique_ptr<FileLock> lock = lock_index(workspace.index());
  std::optional<VectorsHeader> header = read_vectors_header(workspace.index());
  if (!header) throw DataError(fmt::format("{}: no vectors to weigh", workspace.index().string()));
  const RankingSettings settings = read_ranking_settings(config);
  const PostIndexReader reader(workspace.index(), settings.bm25);
  const VectorIndex vectors(workspace.index(), *header, VectorIndex::Mode::read);
  const TimeSplit split = split_by_time(workspace, config, posts);
  const HeldOutQueries development = held_out_queries(posts, control, reader, split.tune_before, split.held_out_from);
  if (development.queries.empty()) return header->vector_weight;

  const Ranker ranker(reader, &vectors, &embedder, settings);
  const std::vector<Run> runs = runs_by_vector_weight(ranker, reader, development, settings.candidates, control);
  double best = -1;
  for (size_t step = 0; step < runs.size(); ++step) {
    int64_t queries = 0;
    const double ndcg = measure_run(runs[step], development.qrels, queries).ndcg_10;
    if (ndcg <= best) continue;
    best = ndcg;
    header->vector_weight = vector_weight(step);
  }
  VectorIndex::save_header(workspace.index(), *header);
  return header->vector_weight;
}

SearchEvaluation evaluate_held_out(const Workspace& workspace, const Config& config, const PostStore& posts,
                                   const ControlDb& control, Engine* embedder) {
  const RankingSettings settings = read_ranking_settings(config);
  const PostIndexReader reader(workspace.index(), settings.bm25);
  std::unique_ptr<VectorIndex> vectors;
  if (const std::optional<VectorsHeader> header = read_vectors_header(workspace.index()); header && embedder) {
    if (!same_embedder(*header, embedder->embed(kProbeText)))
      throw DataError(
          fmt::format("the index holds vectors of another model than {}; run `starling index`", embedder->name()));
    vectors = std::make_unique<VectorIndex>(workspace.index(), *header, VectorIndex::Mode::read);
  }
  const TimeSplit split = split_by_time(workspace, config, posts);
  const HeldOutQueries held_out =
      held_out_queries(posts, control, reader, split.held_out_from, {std::numeric_limits<int64_t>::max(), {}});
  if (held_out.queries.empty())
    throw DataError("no post of the held-out time has a reply, a thread or a shared hashtag to look for");
  return evaluate_stages(reader, Ranker(reader, vectors.get(), embedder, settings), vectors != nullptr,
                         held_out.queries, held_out.qrels, live_only(control));
}

}  // namespace starling

#include "search/search_evaluation.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/progress.h"
#include "core/stop.h"
#include "infer/engine.h"
#include "search/index_sync.h"

namespace starling {
namespace {

constexpr uint64_t kEmbedBatch = 512;
constexpr std::pair<SearchStage, const char*> kStages[] = {{SearchStage::lexical, "lexical"},
                                                           {SearchStage::feedback, "feedback"},
                                                           {SearchStage::vector, "vector"},
                                                           {SearchStage::fused, "fused"},
                                                           {SearchStage::ranked, "ranked"}};

// A folder that is removed with all it holds.
class ScratchFolder {
 public:
  explicit ScratchFolder(std::filesystem::path path) : path_(std::move(path)) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

 private:
  std::filesystem::path path_;
};

void check_not_stopped() {
  if (stop_requested()) throw Error("stopped before the evaluation was complete");
}

std::vector<ScoredDocument> documents_of(const PostIndexReader& reader, const Ranking& ranking) {
  std::vector<ScoredDocument> out;
  for (const RankedMatch& match : ranking.matches) {
    if (out.size() == static_cast<size_t>(kRunDepth)) break;
    const std::optional<PostSummary> post = reader.summary(match.docid);
    if (post) out.push_back({post->id, match.score});
  }
  return out;
}

void index_corpus(const TrecInput& input, const std::filesystem::path& folder, Engine* embedder) {
  PostIndexWriter writer(folder);
  {
    Progress progress("index", 0, "documents");
    uint64_t count = 0;
    read_corpus(input.corpus, input.language, [&](const Post& post) {
      check_not_stopped();
      writer.put(post);
      progress.update(++count);
    });
    writer.commit();
  }
  if (!embedder) return;
  const VectorsHeader header = VectorIndex::start(folder, embedder->name(), embedder->embed(kProbeText));
  VectorIndex vectors(folder, header, VectorIndex::Mode::write);
  const PostIndexReader reader(folder);
  Progress progress("embed", reader.size(), "documents");
  while (!stop_requested() && embed_missing_posts(reader, vectors, *embedder, kEmbedBatch) > 0)
    progress.update(vectors.size());
}

}  // namespace

PostIndexReader::Accept without_source(const EvaluationQuery& query, const PostIndexReader::Accept& accept) {
  return [&](const std::string& post_id, const std::string& author) {
    return post_id != query.hidden_post_id && (!accept || accept(post_id, author));
  };
}

SearchEvaluation evaluate_stages(const PostIndexReader& reader, const Ranker& ranker, bool has_vectors,
                                 const std::vector<EvaluationQuery>& queries, const Qrels& qrels,
                                 const PostIndexReader::Accept& accept) {
  SearchEvaluation evaluation;
  evaluation.documents = static_cast<int64_t>(reader.size());
  for (const auto& [stage, name] : kStages)
    if (has_vectors || (stage != SearchStage::vector && stage != SearchStage::fused))
      evaluation.stages.push_back({name, stage, {}, {}});
  Progress progress("evaluate", queries.size(), "queries");
  uint64_t done = 0;
  for (const EvaluationQuery& query : queries) {
    check_not_stopped();
    const Candidates candidates =
        ranker.retrieve(query.query, SearchStage::ranked, kRunDepth, without_source(query, accept));
    for (StageResult& result : evaluation.stages)
      result.run[query.id] = documents_of(reader, ranker.order(candidates, result.kind, query.query));
    progress.update(++done);
  }
  for (StageResult& result : evaluation.stages) result.measures = measure_run(result.run, qrels, evaluation.queries);
  return evaluation;
}

SearchEvaluation evaluate_trec(const TrecInput& input, const std::filesystem::path& scratch, const Config& config,
                               Engine* embedder) {
  const RankingSettings settings = read_ranking_settings(config);
  std::vector<EvaluationQuery> queries;
  for (const Topic& topic : read_topics(input.queries)) {
    Query query = plain_query(topic.text);
    query.max_id = topic.max_id;
    queries.push_back({topic.id, std::move(query), {}});
  }
  const Qrels qrels = read_qrels(input.qrels);
  const ScratchFolder folder(scratch);
  index_corpus(input, scratch, embedder);
  const PostIndexReader reader(scratch, settings.bm25);
  std::unique_ptr<VectorIndex> vectors;
  if (embedder)
    vectors = std::make_unique<VectorIndex>(scratch, *read_vectors_header(scratch), VectorIndex::Mode::read);
  const Ranker ranker(reader, vectors.get(), embedder, settings);
  return evaluate_stages(reader, ranker, vectors != nullptr, queries, qrels, {});
}

}  // namespace starling

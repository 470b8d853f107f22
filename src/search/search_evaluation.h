// Measures every stage of the search on queries with known answers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/workspace.h"
#include "search/ranker.h"
#include "search/trec_eval.h"
#include "search/trec_files.h"

namespace starling {

struct StageResult {
  std::string name;  // "lexical", "feedback", "vector", "fused", "ranked"
  SearchStage kind = SearchStage::lexical;
  Measures measures;
  Run run;
};

struct SearchEvaluation {
  int64_t documents = 0, queries = 0;  // queries: those with a relevant document
  std::vector<StageResult> stages;     // without vectors: lexical, feedback, ranked
};

struct EvaluationQuery {
  std::string id;
  Query query;
  std::string hidden_post_id;  // the post that the query was made from must not find itself
};

// Hides the post that the query was made from while retrieving, not after: feedback must not learn from it either. Both
// arguments must outlive the result.
PostIndexReader::Accept without_source(const EvaluationQuery& query, const PostIndexReader::Accept& accept);

// Ranks kRunDepth posts a query. Deleted and opted-out posts are left to `accept`.
inline constexpr int kRunDepth = 1000;
SearchEvaluation evaluate_stages(const PostIndexReader& reader, const Ranker& ranker, bool has_vectors,
                                 const std::vector<EvaluationQuery>& queries, const Qrels& qrels,
                                 const PostIndexReader::Accept& accept);

// Builds a temporary index of the corpus in `scratch` (removed at the end) and evaluates the topics on it.
struct TrecInput {
  std::filesystem::path corpus, queries, qrels;
  std::string language = "en";
};
SearchEvaluation evaluate_trec(const TrecInput& input, const std::filesystem::path& scratch, const Config& config,
                               Engine* embedder);

}  // namespace starling

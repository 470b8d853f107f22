// The stages of a search, one after the other: lexical, feedback, vector, fused, ranked. The service and the evaluation
// share it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"
#include "search/post_index.h"
#include "search/query.h"
#include "search/ranking.h"
#include "search/search_service.h"
#include "search/vector_index.h"

namespace starling {

struct RankingSettings {
  Bm25 bm25;
  Feedback feedback;
  double vector_weight = 0;  // below 0: what the index measured
  PriorWeights priors;
  int candidates = 0;  // that each stage hands to the fusion
};

RankingSettings read_ranking_settings(const Config& config);  // throws ConfigError

struct Ranking {
  std::vector<RankedMatch> matches;  // best first
  int64_t estimated_total = 0;
};

// What the retrievals found, before it is put in one order.
struct Candidates {
  LexicalResult lexical, feedback;   // the second: by the query that the first one expanded; empty when it did not
  std::vector<VectorMatch> vectors;  // the nearest posts, and the cosines of those that the words found
};

class Ranker {
 public:
  // `vectors` and `embedder` may be null: then the vector stage finds nothing. All references must outlive the ranker.
  Ranker(const PostIndexReader& reader, const VectorIndex* vectors, Engine* embedder, const RankingSettings& settings)
      : reader_(reader), vectors_(vectors), embedder_(embedder), settings_(settings) {
    if (settings_.vector_weight < 0) settings_.vector_weight = vectors ? vectors->header().vector_weight : 0;
  }

  // At most `depth` posts from each retrieval that `stage` uses. Thread-safe.
  Candidates retrieve(const Query& query, SearchStage stage, int depth, const PostIndexReader::Accept& accept) const;
  // The order of `stage`; candidates may have been retrieved for a later stage.
  Ranking order(const Candidates& candidates, SearchStage stage, const Query& query) const;
  Ranking rank(const Query& query, SearchStage stage, int depth, const PostIndexReader::Accept& accept) const {
    return order(retrieve(query, stage, depth, accept), stage, query);
  }

 private:
  // Half the text, half the mean of the best posts that words found, weighted by their scores: what Rocchio (1971) does
  // with words, in the space of embeddings (Li et al. 2021, arXiv:2108.11044).
  std::vector<float> embed(const std::string& text, const LexicalResult& words) const;
  std::vector<VectorMatch> find_vectors(const Query& query, const Candidates& words, int depth,
                                        const PostIndexReader::Accept& accept) const;
  void add_priors(std::vector<RankedMatch>& matches, const Query& query) const;

  const PostIndexReader& reader_;
  const VectorIndex* vectors_;
  Engine* embedder_;
  RankingSettings settings_;
};

}  // namespace starling

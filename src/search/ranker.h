// The stages of a search, one after the other: lexical, vector, fused, ranked. The service and the evaluation share it.
#pragma once

#include <cstdint>
#include <functional>
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
  double vector_weight = 0;  // below 0: what the index measured (VectorsHeader::vector_weight)
  PriorWeights priors;
  int candidates = 0;  // that each stage hands to the fusion
};

RankingSettings read_ranking_settings(const Config& config);  // throws ConfigError

struct Ranking {
  std::vector<RankedMatch> matches;  // best first
  int64_t estimated_total = 0;
};

// What the two retrievals found, before it is put in one order.
struct Candidates {
  LexicalResult lexical;
  std::vector<VectorMatch> vectors;
};

class Ranker {
 public:
  // `vectors` and `embedder` may be null: then the vector stage finds nothing. All references must outlive the ranker.
  Ranker(const PostIndexReader& reader, const VectorIndex* vectors, Engine* embedder, const RankingSettings& settings)
      : reader_(reader), vectors_(vectors), embedder_(embedder), settings_(settings) {
    if (settings_.vector_weight < 0) settings_.vector_weight = vectors ? vectors->weight() : 0;
  }

  // At most `depth` posts from each retrieval that `stage` uses. Thread-safe.
  Candidates retrieve(const Query& query, SearchStage stage, int depth, const PostIndexReader::Accept& accept) const;
  // The order of `stage`; candidates may have been retrieved for a later stage.
  Ranking order(const Candidates& candidates, SearchStage stage, const Query& query) const;
  Ranking rank(const Query& query, SearchStage stage, int depth, const PostIndexReader::Accept& accept) const {
    return order(retrieve(query, stage, depth, accept), stage, query);
  }

 private:
  std::vector<VectorMatch> find_vectors(const Query& query, int depth, const PostIndexReader::Accept& accept) const;
  void add_priors(std::vector<RankedMatch>& matches, const Query& query) const;

  const PostIndexReader& reader_;
  const VectorIndex* vectors_;
  Engine* embedder_;
  RankingSettings settings_;
};

}  // namespace starling

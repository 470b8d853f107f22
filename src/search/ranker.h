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
  double vector_weight = 0;
  PriorWeights priors;
  int candidates = 0;  // that each stage hands to the fusion
};

RankingSettings read_ranking_settings(const Config& config);  // throws ConfigError

struct Ranking {
  std::vector<RankedMatch> matches;  // best first
  int64_t estimated_total = 0;
};

class Ranker {
 public:
  // `vectors` and `embedder` may be null: then the vector stage finds nothing. All references must outlive the ranker.
  Ranker(const PostIndexReader& reader, const VectorIndex* vectors, Engine* embedder, const RankingSettings& settings)
      : reader_(reader), vectors_(vectors), embedder_(embedder), settings_(settings) {}

  // At most `depth` posts from each of the two retrievals. Thread-safe.
  Ranking rank(const Query& query, SearchStage stage, int depth, const PostIndexReader::Accept& accept) const;

 private:
  std::vector<VectorMatch> find_vectors(const Query& query, int depth, const PostIndexReader::Accept& accept) const;
  void add_priors(std::vector<RankedMatch>& matches, const Query& query) const;

  const PostIndexReader& reader_;
  const VectorIndex* vectors_;
  Engine* embedder_;
  RankingSettings settings_;
};

}  // namespace starling

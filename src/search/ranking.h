// From two ranked lists to one, then the priors of time and of reactions.
//
//   fused(d)  = (1 - w) lexical(d) / max lexical  +  w * max(0, cosine(d)) / max cosine
//   ranked(d) = fused(d) + r * 1 / (1 + log2(1 + age_days))  +  e * log2(1 + engagement) / kMaxEngagementBits
//
// A list that does not hold d gives 0. The weights are settings: chosen on development data, reported on held-out data
// (docs/formats/query-language.md tells how). The priors are small against a fused score, which lies in 0..1.
#pragma once

#include <cstdint>
#include <vector>

#include "search/post_index.h"
#include "search/vector_index.h"

namespace starling {

struct RankedMatch {
  DocId docid = 0;
  double score = 0, lexical_score = 0, vector_score = 0;
};

struct PriorWeights {
  double recency = 0.02, engagement = 0.03;
};

inline constexpr double kMaxEngagementBits = 24;  // 16 million reactions

// Best first; ties: the higher docid (the newer post).
std::vector<RankedMatch> fuse(const std::vector<LexicalMatch>& lexical, const std::vector<VectorMatch>& vectors,
                              double vector_weight);
double prior(const PriorWeights& weights, double age_days, int64_t engagement);
void sort_best_first(std::vector<RankedMatch>& matches);

}  // namespace starling

// From three ranked lists to one, then the priors of time and of reactions.
//
//   words(d)  = mean of lexical(d) / max lexical and feedback(d) / max feedback; without feedback the first alone
//   fused(d)  = (1 - w) words(d)  +  w * max(0, cosine(d))
//   ranked(d) = fused(d) + r * 1 / (1 + log2(1 + age_days))  +  e * log2(1 + engagement) / kMaxEngagementBits
//
// A convex combination: Bruch et al. 2023, arXiv:2210.11934. The two lists of words vote alike (CombSUM, Fox & Shaw
// 1994): RM3 helps where the best posts are right and hurts where they are not. A list that lacks d counts as 0; every
// candidate has its cosine, since one that words found and vectors did not is not therefore far. The weights are
// settings: chosen on development data, reported on held-out data (docs/formats/query-language.md tells how). The
// priors are small against a fused score, which lies in 0..1.
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
std::vector<RankedMatch> fuse(const std::vector<LexicalMatch>& lexical, const std::vector<LexicalMatch>& feedback,
                              const std::vector<VectorMatch>& vectors, double vector_weight);
double prior(const PriorWeights& weights, double age_days, int64_t engagement);
void sort_best_first(std::vector<RankedMatch>& matches);

}  // namespace starling

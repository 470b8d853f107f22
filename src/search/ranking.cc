#include "search/ranking.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace starling {

void sort_best_first(std::vector<RankedMatch>& matches) {
  std::sort(matches.begin(), matches.end(), [](const RankedMatch& a, const RankedMatch& b) {
    return a.score != b.score ? a.score > b.score : a.docid > b.docid;
  });
}

std::vector<RankedMatch> fuse(const std::vector<LexicalMatch>& lexical, const std::vector<VectorMatch>& vectors,
                              double vector_weight) {
  std::unordered_map<DocId, RankedMatch> by_docid;
  double max_lexical = 0, max_cosine = 0;
  for (const LexicalMatch& match : lexical) max_lexical = std::max(max_lexical, match.score);
  for (const VectorMatch& match : vectors) max_cosine = std::max(max_cosine, static_cast<double>(match.cosine));
  for (const LexicalMatch& match : lexical) {
    RankedMatch& out = by_docid[match.docid];
    out.lexical_score = match.score;
    if (max_lexical > 0) out.score += (1 - vector_weight) * match.score / max_lexical;
  }
  for (const VectorMatch& match : vectors) {
    RankedMatch& out = by_docid[match.docid];
    out.vector_score = match.cosine;
    if (max_cosine > 0) out.score += vector_weight * std::max(0.0, static_cast<double>(match.cosine)) / max_cosine;
  }
  std::vector<RankedMatch> fused;
  for (auto& [docid, match] : by_docid) {
    match.docid = docid;
    fused.push_back(match);
  }
  sort_best_first(fused);
  return fused;
}

double prior(const PriorWeights& weights, double age_days, int64_t engagement) {
  const double freshness = 1 / (1 + std::log2(1 + std::max(0.0, age_days)));
  const double reactions = std::log2(1 + static_cast<double>(std::max<int64_t>(0, engagement))) / kMaxEngagementBits;
  return weights.recency * freshness + weights.engagement * std::min(1.0, reactions);
}

}  // namespace starling

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

std::vector<RankedMatch> fuse(const std::vector<LexicalMatch>& lexical, const std::vector<LexicalMatch>& feedback,
                              const std::vector<VectorMatch>& vectors, double vector_weight) {
  std::unordered_map<DocId, RankedMatch> by_docid;
  const auto vote = [&](const std::vector<LexicalMatch>& list, double share) {
    double best = 0;
    for (const LexicalMatch& match : list) best = std::max(best, match.score);
    for (const LexicalMatch& match : list)
      if (RankedMatch& out = by_docid[match.docid]; best > 0) out.score += share * match.score / best;
  };
  vote(lexical, (1 - vector_weight) / (feedback.empty() ? 1 : 2));
  vote(feedback, (1 - vector_weight) / 2);
  for (const LexicalMatch& match : lexical) by_docid[match.docid].lexical_score = match.score;
  for (const VectorMatch& match : vectors) {
    RankedMatch& out = by_docid[match.docid];
    out.vector_score = match.cosine;
    out.score += vector_weight * std::max(0.0, static_cast<double>(match.cosine));
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

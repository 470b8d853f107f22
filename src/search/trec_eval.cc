#include "search/trec_eval.h"

#include <algorithm>
#include <cmath>

namespace starling {
namespace {

constexpr size_t kNdcgDepth = 10, kPrecisionDepth = 30;

void sort_as_trec_eval(std::vector<ScoredDocument>& documents) {
  std::sort(documents.begin(), documents.end(), [](const ScoredDocument& a, const ScoredDocument& b) {
    const float left = static_cast<float>(a.score), right = static_cast<float>(b.score);
    return left != right ? left > right : a.id > b.id;
  });
}

double dcg(const std::vector<int>& grades) {
  double sum = 0;
  for (size_t i = 0; i < std::min(grades.size(), kNdcgDepth); ++i)
    sum += std::max(0, grades[i]) / std::log2(static_cast<double>(i) + 2);
  return sum;
}

}  // namespace

Measures measure_query(std::vector<ScoredDocument> documents, const std::map<std::string, int>& grades) {
  sort_as_trec_eval(documents);
  std::vector<int> ideal, found;
  for (const auto& [id, grade] : grades) ideal.push_back(grade);
  std::sort(ideal.rbegin(), ideal.rend());
  const auto relevant =
      static_cast<double>(std::count_if(ideal.begin(), ideal.end(), [](int grade) { return grade >= 1; }));
  Measures out;
  if (relevant == 0) return out;
  double hits = 0;
  for (size_t i = 0; i < documents.size(); ++i) {
    const auto at = grades.find(documents[i].id);
    found.push_back(at == grades.end() ? 0 : at->second);
    if (found.back() < 1) continue;
    ++hits;
    const auto rank = static_cast<double>(i + 1);
    out.map += hits / rank / relevant;
    if (hits == 1) out.mrr = 1 / rank;
    if (i < kPrecisionDepth) out.p_30 = hits / static_cast<double>(kPrecisionDepth);
  }
  out.ndcg_10 = dcg(found) / dcg(ideal);
  return out;
}

Measures measure_run(const Run& run, const Qrels& qrels, int64_t& queries) {
  Measures sum;
  queries = 0;
  for (const auto& [query, grades] : qrels) {
    if (std::none_of(grades.begin(), grades.end(), [](const auto& entry) { return entry.second >= 1; })) continue;
    ++queries;
    const auto documents = run.find(query);
    if (documents == run.end()) continue;
    const Measures one = measure_query(documents->second, grades);
    sum.ndcg_10 += one.ndcg_10;
    sum.map += one.map;
    sum.p_30 += one.p_30;
    sum.mrr += one.mrr;
  }
  const double count = std::max<double>(1, static_cast<double>(queries));
  return {sum.ndcg_10 / count, sum.map / count, sum.p_30 / count, sum.mrr / count};
}

}  // namespace starling

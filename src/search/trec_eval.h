// Retrieval measures as trec_eval defines them.
//   AP        = (1/R) sum over relevant documents at rank r of precision at r;  R: relevant documents in the qrels
//   P@30      = relevant documents among the first 30, over 30
//   RR        = 1 / rank of the first relevant document
//   nDCG@10   = DCG of the first 10 / DCG of the best 10,  DCG = sum gain(rank) / log2(rank + 1),  gain = the grade
// Relevant: grade at least 1. A run is sorted by score, best first, as trec_eval sorts: scores as f32, ties by document
// id in descending byte order. Sources: https://github.com/usnistgov/trec_eval; Jarvelin & Kekalainen 2002.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace starling {

struct ScoredDocument {
  std::string id;
  double score = 0;
};

using Qrels = std::map<std::string, std::map<std::string, int>>;  // query -> document -> grade
using Run = std::map<std::string, std::vector<ScoredDocument>>;   // query -> documents in any order

struct Measures {
  double ndcg_10 = 0, map = 0, p_30 = 0, mrr = 0;
};

Measures measure_query(std::vector<ScoredDocument> documents, const std::map<std::string, int>& grades);

// Mean over the queries of `qrels` that have a relevant document; one that the run lacks counts 0 (trec_eval -c).
// `queries`: how many that are. Returns zeros for none.
Measures measure_run(const Run& run, const Qrels& qrels, int64_t& queries);

}  // namespace starling

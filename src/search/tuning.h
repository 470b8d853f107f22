// `starling index --tune`: a model tuned to bring related posts together, then the weight of its vectors in the fusion.
#pragma once

#include <cstdint>
#include <string>

#include "search/search_evaluation.h"
#include "search/thread_pairs.h"

namespace starling {

struct TuneReport {
  std::string model;  // the tuned model's name
  int64_t pairs = 0, steps = 0;
  double first_loss = 0, last_loss = 0;
};

// Writes models/<base>-embed from models/<base>. Pairs come from posts before the development slice only.
// Throws DataError when the posts give fewer than kMinPairs.
inline constexpr size_t kMinPairs = 64;
TuneReport tune_embedder(const Workspace& workspace, const Config& config, const PostStore& posts,
                         const ControlDb& control, const std::string& base, double seconds);

// Tries weights 0, 0.1 .. 0.9 on the development slice, keeps the one with the best nDCG@10 in vectors.json (the
// smaller of equals: so vectors that do not help get 0) and returns it. Without development queries the weight stays as
// it is. Throws IoError when another process writes the index.
double choose_vector_weight(const Workspace& workspace, const Config& config, const PostStore& posts,
                            const ControlDb& control, Engine& embedder);

// The stages on queries made of posts of the held-out time, over the workspace's own index. `embedder` may be null.
// Throws DataError when the posts hold no thread or shared tag there.
SearchEvaluation evaluate_held_out(const Workspace& workspace, const Config& config, const PostStore& posts,
                                   const ControlDb& control, Engine* embedder);

}  // namespace starling

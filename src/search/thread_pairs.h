// What the posts themselves say belongs together, for tuning and for measuring the search:
//   reply and parent; two replies to one post; two posts with the same rare hashtag (tags removed); and, only for
//   tuning, a post and itself (whose words are then a query for it) and the two halves of a long post.
// Split by time: tuning sees posts before `tune_before_s`, the fused weight is chosen on [tune_before_s,
// held_out_from_s), and what is reported is measured on posts from held_out_from_s on.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/config.h"
#include "core/workspace.h"
#include "posts/post_store.h"
#include "search/search_evaluation.h"
#include "store/control_db.h"
#include "train/contrastive.h"

namespace starling {

struct TimeSplit {
  int64_t tune_before_s = 0, held_out_from_s = 0;
};

// held_out_from_s is the first post of the validation shards, or the latest prepare.validation_fraction of the posts
// where nothing is prepared; the development slice before it has three times as many posts, at most half of the rest.
// Throws DataError for an empty store.
TimeSplit split_by_time(const Workspace& workspace, const Config& config, const PostStore& posts);

struct TuningPairs {
  std::vector<RelatedTexts> texts;
  std::vector<std::pair<std::string, std::string>> seen;  // post id and author of every text
};
// Deleted posts, and authors who opted out of training, are left out. At most kMaxPairs, drawn evenly.
inline constexpr size_t kMaxPairs = 100000;
TuningPairs tuning_pairs(const PostStore& posts, const ControlDb& control, int64_t before_s);

// A query is made of a post of the slice: its kQueryWords rarest words, tags removed. Relevant: its parent and the
// other posts of its thread (grade 2 and 1), or, for a post outside threads, the posts with the same hashtag. The post
// itself is hidden. At most kMaxHeldOutQueries, drawn evenly.
inline constexpr size_t kQueryWords = 8, kMaxHeldOutQueries = 200;
struct HeldOutQueries {
  std::vector<EvaluationQuery> queries;
  Qrels qrels;
};
HeldOutQueries held_out_queries(const PostStore& posts, const ControlDb& control, const PostIndexReader& reader,
                                int64_t from_s, int64_t until_s);

}  // namespace starling

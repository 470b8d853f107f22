// What the posts themselves say belongs together, for tuning and for measuring the search:
//   reply and parent; two replies to one post; two posts with the same rare hashtag (tags removed); and, only for
//   tuning, a post and itself (whose words are then a query for it) and the two halves of a long post.
// Split by time: tuning sees posts before `tune_before`, the fused weight is chosen on [tune_before, held_out_from),
// and what is reported is measured on posts from held_out_from on.
#pragma once

#include <compare>
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

// A post's place in time. Posts of one second are ordered by id, as `starling prepare` orders them: where no post has a
// time, all are of one second.
struct PostMoment {
  int64_t time_s = 0;
  std::string id;

  friend auto operator<=>(const PostMoment&, const PostMoment&) = default;
};
inline PostMoment moment_of(const Post& post) { return {post.time_s, post.id}; }

struct TimeSplit {
  PostMoment tune_before, held_out_from;
};

// held_out_from is the first post of the validation shards, or the latest prepare.validation_fraction of the posts
// where nothing is prepared; the development slice before it has three times as many posts, at most half of the rest.
// Throws DataError for an empty store.
TimeSplit split_by_time(const Workspace& workspace, const Config& config, const PostStore& posts);

struct TuningPairs {
  std::vector<RelatedTexts> texts;
  std::vector<std::pair<std::string, std::string>> seen;  // post id and author of every text
};
// Deleted posts, and authors who opted out of training, are left out. At most kMaxPairs, drawn evenly.
inline constexpr size_t kMaxPairs = 100000;
TuningPairs tuning_pairs(const PostStore& posts, const ControlDb& control, const PostMoment& before);

// A query is made of a post of the slice: its kQueryWords rarest words, tags removed. Relevant: its parent and the
// other posts of its thread (grade 2 and 1), or, for a post outside threads, the posts with the same hashtag. The post
// itself is hidden. At most kMaxHeldOutQueries, drawn evenly.
inline constexpr size_t kQueryWords = 8, kMaxHeldOutQueries = 200;
struct HeldOutQueries {
  std::vector<EvaluationQuery> queries;
  Qrels qrels;
};
HeldOutQueries held_out_queries(const PostStore& posts, const ControlDb& control, const PostIndexReader& reader,
                                const PostMoment& from, const PostMoment& until);

}  // namespace starling

// Lineage asked from either end: where a post lies in the shards, and what a checkpoint was trained on. The checkpoints
// that saw a post: lineage.h.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/workspace.h"

namespace starling {

class ControlDb;

struct SamplePlace {
  std::string split, shard;  // "train", "train-00003"
  uint64_t index = 0;        // of the sample in its split
  uint64_t tokens = 0;
  std::string post_id;
};

// Samples of a post, or of all posts of an author, in the order of the shards. `kind` is "post" or "author". No shards:
// none. Throws DataError when a shard is damaged.
std::vector<SamplePlace> samples_of(const Workspace& workspace, const std::string& kind, const std::string& id);

struct TrainingData {
  uint64_t seen_ids = 0;  // posts and authors that training read
  // Of the workspace's present shards. A new `prepare` may have dropped or added posts since the training.
  bool same_shards = false;  // they are those of the training; false also when the checkpoint does not say
  uint64_t train_samples = 0, train_samples_seen = 0;
  uint64_t valid_samples_seen = 0;  // read by an earlier training: their score is no longer one of unseen text
  uint64_t tokens_seen = 0;         // of train_samples_seen, each once
  int64_t first_time_s = 0, last_time_s = 0;
  // Deleted since, but in the weights until the next training.
  uint64_t deleted_posts_seen = 0, deleted_authors_seen = 0;
};

// `checkpoint`: as checkpoints_that_saw() names it. Calls visit(post id) for every training sample that it saw, when
// given. Throws IoError when the folder has no seen.bin, DataError when that or a shard is damaged.
TrainingData training_data_of(const Workspace& workspace, const ControlDb& control, const std::string& checkpoint,
                              const std::function<void(std::string_view post_id)>& visit);

}  // namespace starling

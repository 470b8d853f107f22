// What deletions take out of the workspace's files of posts, for good.
#pragma once

#include <cstdint>
#include <vector>

#include "core/workspace.h"
#include "posts/post_store.h"
#include "store/control_db.h"

namespace starling {

struct PurgedRows {
  uint64_t posts = 0;     // of the raw posts
  uint64_t bad_rows = 0;  // of those that could not be read
};

DeletedIds deleted_ids(const std::vector<Tombstone>& tombstones);

// Takes the rows that `tombstones` name out of the raw posts and the quarantine, then control knows that they are gone;
// also what a killed `prepare` left, and texts in the parts of `prepare --shard`. Throws IoError when another process
// holds the posts or a file cannot be written: then they stay in control.unpurged(), for the next ingestion, server or
// deletion to finish.
PurgedRows purge_deleted(const Workspace& workspace, PostStore& posts, ControlDb& control,
                         const std::vector<Tombstone>& tombstones);

}  // namespace starling

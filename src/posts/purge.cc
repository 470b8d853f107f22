#include "posts/purge.h"

#include <string>

#include "posts/prepare.h"
#include "posts/quarantine.h"

namespace starling {

PurgedRows purge_deleted(const Workspace& workspace, PostStore& posts, ControlDb& control,
                         const std::vector<Tombstone>& tombstones) {
  remove_unfinished_shards(workspace);
  if (tombstones.empty()) return {};
  DeletedIds deleted;
  for (const Tombstone& tombstone : tombstones)
    (tombstone.kind == "author" ? deleted.authors : deleted.posts).insert(tombstone.id);
  PurgedRows purged;
  posts.with_lock([&] {
    purged.posts = posts.purge(deleted);
    purged.bad_rows = purge_quarantine(workspace.posts(), [&](const std::string& id) {
      return deleted.posts.contains(id) || deleted.authors.contains(id);
    });
  });
  control.set_purged(tombstones);
  return purged;
}

}  // namespace starling

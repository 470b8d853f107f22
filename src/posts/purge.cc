#include "posts/purge.h"

#include <string>

#include "posts/prepare.h"
#include "posts/quarantine.h"

namespace starling {

DeletedIds deleted_ids(const std::vector<Tombstone>& tombstones) {
  DeletedIds deleted;
  for (const Tombstone& tombstone : tombstones)
    (tombstone.kind == "author" ? deleted.authors : deleted.posts).insert(tombstone.id);
  return deleted;
}

PurgedRows purge_deleted(const Workspace& workspace, PostStore& posts, ControlDb& control,
                         const std::vector<Tombstone>& tombstones) {
  remove_unfinished_shards(workspace);
  purge_parts(workspace, control);
  if (tombstones.empty()) return {};
  const DeletedIds deleted = deleted_ids(tombstones);
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

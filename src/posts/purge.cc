#include "posts/purge.h"

#include <string>
#include <unordered_set>

#include "posts/prepare.h"
#include "posts/quarantine.h"

namespace starling {

PurgedRows purge_deleted(const Workspace& workspace, PostStore& posts, ControlDb& control,
                         const std::vector<Tombstone>& tombstones) {
  remove_unfinished_shards(workspace);
  if (tombstones.empty()) return {};
  std::unordered_set<std::string> deleted_posts, deleted_authors;
  for (const Tombstone& tombstone : tombstones)
    (tombstone.kind == "author" ? deleted_authors : deleted_posts).insert(tombstone.id);
  PurgedRows purged;
  posts.with_lock([&] {
    purged.posts = posts.purge(
        [&](const Post& post) { return deleted_posts.contains(post.id) || deleted_authors.contains(post.author); });
    purged.bad_rows = purge_quarantine(workspace.posts(), [&](const std::string& id) {
      return deleted_posts.contains(id) || deleted_authors.contains(id);
    });
  });
  control.set_purged(tombstones);
  return purged;
}

}  // namespace starling

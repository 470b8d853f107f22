// The workspace's raw posts: segments `posts/NNNNNN.jsonl.zst` written by ingest and one journal `posts/live.jsonl`
// that the server appends to. Nothing else stores post text for training. Beside a segment, `NNNNNN.ids` holds the
// 64-bit hashes of its posts' and authors' ids, so that an id is found without reading the posts; it is made again when
// missing. Known ids are compared by hash: of a billion posts about one in forty stores would take a new id for a known
// one. A journal that has grown large becomes a segment.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "posts/post.h"

namespace starling {

struct DeletedIds {
  std::unordered_set<std::string> posts, authors;
  bool contains(const Post& post) const { return posts.contains(post.id) || authors.contains(post.author); }
};

class PostStore {
 public:
  // Opens or creates the store. Several processes may read. The first appended post takes the lock `posts/.lock`, held
  // until destruction (IoError names the holder), and cuts a last journal line that a crash left torn.
  explicit PostStore(std::filesystem::path folder);
  ~PostStore();

  // Calls visit(post) for every post once, oldest segment first, the journal last; false from visit ends the walk.
  // Tombstones are not applied here: that is the caller's ControlDb. Throws DataError with file and line when damaged.
  void for_each(const std::function<bool(const Post&)>& visit) const;
  // The files that for_each() reads, in its order: for readers of segment_file.h.
  std::vector<std::filesystem::path> files() const;
  uint64_t size() const;
  bool contains(const std::string& id) const;

  // Appends to the journal and returns when it is durable; false when the id is known already. Thread-safe.
  bool append(const Post& post);
  // Writes one compressed segment atomically, skipping known ids; returns how many were new.
  uint64_t append_segment(std::vector<Post> posts);

  // Takes posts out of the files for good: each file that has one is rewritten atomically, the others are not read.
  // Returns how many went. Holds the lock meanwhile, if nothing was appended before.
  uint64_t purge(const DeletedIds& deleted);

  // Calls work() with the lock held, as purge() does: for what else is rewritten in the folder. work() may purge.
  void with_lock(const std::function<void()>& work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace starling

// The workspace's raw posts: segments `posts/*.jsonl.zst` written by ingest and one journal `posts/live.jsonl` that
// the server appends to. Nothing else stores post text for training.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "posts/post.h"

namespace starling {

class PostStore {
 public:
  // Opens or creates the store. Several processes may read; writers take a lock (IoError names the holder).
  explicit PostStore(std::filesystem::path folder);
  ~PostStore();

  // Calls visit(post) for every post once, oldest segment first, the journal last; false from visit ends the walk.
  // Tombstones are not applied here: that is the caller's ControlDb.
  void for_each(const std::function<bool(const Post&)>& visit) const;
  uint64_t size() const;
  bool contains(const std::string& id) const;

  // Appends to the journal and returns when it is durable; false when the id is known already. Thread-safe.
  bool append(const Post& post);
  // Writes one compressed segment atomically, skipping known ids; returns how many were new.
  uint64_t append_segment(const std::vector<Post>& posts);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace starling

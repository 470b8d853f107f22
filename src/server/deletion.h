// One deletion, obeyed by every part: a durable tombstone first, then the audit log, search with its vectors, Ask and
// audiences, the raw posts, and the list of checkpoints that saw it. Shards already written are masked by the trainer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/workspace.h"

namespace starling {

class ControlDb;
class Models;
class PostStore;
class SearchService;

struct DeletionReport {
  std::string kind, id;                  // "post" or "author"
  bool known = false;                    // the store held such a post
  uint64_t purged_posts = 0;             // rows removed from the raw posts
  uint64_t purged_bad_rows = 0;          // rows removed from those that could not be read
  std::vector<std::string> checkpoints;  // that saw it: "models/own"
  std::string pending;                   // what another process kept from being done now; empty: nothing
};

std::string to_json_text(const DeletionReport& report);

// `search` may be null when this process has no index open. Repeating a deletion is harmless. Throws ConfigError for
// another kind or an empty id.
DeletionReport delete_content(const Workspace& workspace, ControlDb& control, PostStore& posts, SearchService* search,
                              const std::string& kind, const std::string& id, const std::string& reason);

// Obeys what other processes delete beside this one: `starling delete`, an ingestion, a process that was killed.
class DeletionWatch {
 public:
  // `search` may be null. All references must outlive the watch.
  DeletionWatch(const Workspace& workspace, ControlDb& control, PostStore& posts, SearchService* search,
                const Models& models)
      : workspace_(workspace), control_(control), posts_(posts), search_(search), models_(models) {}

  // Takes new deletions out of the index and the models' prefix caches now, and out of the raw posts at the next call,
  // since until then their own process may be at it, or at a later one while another process holds the posts. Cheap
  // when there are none. Not thread-safe; throws Error.
  void look();

 private:
  const Workspace& workspace_;
  ControlDb& control_;
  PostStore& posts_;
  SearchService* search_;
  const Models& models_;
  std::optional<uint64_t> seen_version_, forgotten_version_, purged_version_;  // of the tombstones
};

}  // namespace starling

// One deletion, obeyed by every part: a durable tombstone first, then the audit log, search with its vectors, Ask and
// audiences, the raw posts, and the list of checkpoints that saw it. Shards already written are masked by the trainer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/workspace.h"

namespace starling {

class ControlDb;
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

// `search` may be null. Repeating a deletion is harmless. Throws ConfigError for another kind or an empty id.
DeletionReport delete_content(const Workspace& workspace, ControlDb& control, PostStore& posts, SearchService* search,
                              const std::string& kind, const std::string& id, const std::string& reason);

}  // namespace starling

#include "server/deletion.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/json.h"
#include "posts/post_store.h"
#include "posts/quarantine.h"
#include "search/search_service.h"
#include "store/bury.h"
#include "store/control_db.h"
#include "train/lineage.h"

namespace starling {
namespace {

using Json = nlohmann::json;

}  // namespace

std::string to_json_text(const DeletionReport& report) {
  Json json = {{"deleted", report.kind},
               {"id", report.id},
               {"known", report.known},
               {"purged_posts", report.purged_posts},
               {"purged_bad_rows", report.purged_bad_rows},
               {"checkpoints", report.checkpoints}};
  if (!report.pending.empty()) json["pending"] = report.pending;
  return dump_json(json);
}

DeletionReport delete_content(const Workspace& workspace, ControlDb& control, PostStore& posts, SearchService* search,
                              const std::string& kind, const std::string& id, const std::string& reason) {
  if (kind != "post" && kind != "author")
    throw ConfigError(fmt::format("delete a `post` or an `author`, not a `{}`", kind));
  if (id.empty()) throw ConfigError(fmt::format("the id of the {} to delete is empty", kind));
  DeletionReport report{.kind = kind, .id = id};
  bury(control, kind, id, reason);
  if (search != nullptr) search->hide_deleted();
  try {
    report.purged_posts =
        posts.purge([&](const Post& post) { return kind == "post" ? post.id == id : post.author == id; });
    report.purged_bad_rows = purge_quarantine(workspace.posts(), [&](const std::string& found) { return found == id; });
  } catch (const IoError& error) {
    // The tombstone holds already: nothing shows or learns from the post. Only its raw row waits.
    report.pending =
        fmt::format("the raw posts could not be rewritten now ({}); delete again when they can be", error.what());
  }
  report.known = report.purged_posts > 0 || (kind == "post" && posts.contains(id));
  report.checkpoints = checkpoints_that_saw(workspace, kind, id);
  return report;
}

}  // namespace starling

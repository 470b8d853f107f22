#include "server/deletion.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <shared_mutex>
#include <utility>

#include "core/error.h"
#include "core/json.h"
#include "posts/post_store.h"
#include "posts/purge.h"
#include "search/search_service.h"
#include "server/models.h"
#include "store/bury.h"
#include "store/control_db.h"
#include "train/lineage.h"

namespace starling {
namespace {

using Json = nlohmann::json;

// Shared by deletions under way, so that what is left over is not taken for what they are about to purge and report.
std::shared_mutex leftovers_mutex;

void hide_deleted(const Workspace& workspace, const ControlDb& control, SearchService* search) {
  if (search != nullptr) return search->hide_deleted();
  try {
    purge_index(workspace.index(), control);
  } catch (const Error& error) {
    spdlog::warn("the search index cannot be opened now ({}); it obeys the deletion when it is next opened",
                 error.what());
  }
}

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
  std::shared_lock lock(leftovers_mutex, std::try_to_lock);  // hidden at once, however long leftovers take
  bury(control, kind, id, reason);
  hide_deleted(workspace, control, search);
  if (!lock) lock.lock();
  try {
    const PurgedRows purged = purge_deleted(workspace, posts, control, {{.kind = kind, .id = id}});
    report.purged_posts = purged.posts;
    report.purged_bad_rows = purged.bad_rows;
  } catch (const IoError& error) {
    // The tombstone holds already: nothing shows or learns from the post. Only its raw row waits.
    report.pending = fmt::format(
        "the raw posts could not be rewritten now ({}); a running server takes the rows out in a few seconds, else the "
        "next ingestion or start of a server does",
        error.what());
  }
  const bool waits = !report.pending.empty() && kind == "post" && posts.contains(id);
  report.known = report.purged_posts > 0 || waits;
  report.checkpoints = checkpoints_that_saw(workspace, kind, id);
  return report;
}

void DeletionWatch::look() {
  if (search_ != nullptr) search_->hide_deleted();
  const uint64_t version = control_.tombstone_version();
  const bool settled = version == seen_version_;
  seen_version_ = version;
  if (version == purged_version_) return;
  // At the next call too: an Ask may have read a post before it was hidden, and begin now.
  if (version != forgotten_version_) models_.forget_prefixes();
  if (!settled) return;
  const bool first_try = std::exchange(forgotten_version_, version) != version;
  const std::unique_lock lock(leftovers_mutex, std::try_to_lock);
  if (!lock) return;
  purged_version_ = version;
  try {
    purge_deleted(workspace_, posts_, control_, control_.unpurged());
  } catch (const IoError& error) {
    purged_version_.reset();  // tried again at the next call
    if (first_try) spdlog::info("rows of deleted posts stay for now: {}", error.what());
  }
}

}  // namespace starling

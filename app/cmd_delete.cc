#include <fmt/format.h>

#include <memory>

#include "app/command.h"
#include "core/error.h"
#include "posts/post_store.h"
#include "server/deletion.h"
#include "store/control_db.h"

namespace starling {
namespace {

void print_report(const DeletionReport& report) {
  fmt::print(
      "Deleted {} {}: {} raw post{} removed; gone from search, answers and audiences, and left out of later "
      "training.\n",
      report.kind, report.id, report.purged_posts, report.purged_posts == 1 ? "" : "s");
  if (!report.known)
    fmt::print("No such {} was stored here; the tombstone keeps it from coming in later.\n", report.kind);
  if (report.purged_bad_rows > 0)
    fmt::print("{} rows that could not be read may have been of it and were removed too.\n", report.purged_bad_rows);
  if (!report.pending.empty()) fmt::print("Still to do: {}\n", report.pending);
  if (report.checkpoints.empty()) return fmt::print("No checkpoint saw it.\n");
  fmt::print("Checkpoints that saw it:\n  {}\n", fmt::join(report.checkpoints, "\n  "));
}

void run_delete(const GlobalOptions& options, const std::string& kind, const std::string& id,
                const std::string& reason) {
  const Workspace workspace = options.open_workspace();
  ControlDb control(workspace.control_db());
  PostStore posts(workspace.posts());
  const DeletionReport report = delete_content(workspace, control, posts, nullptr, kind, id, reason);
  if (options.json) return fmt::print("{}\n", to_json_text(report));
  print_report(report);
}

}  // namespace

void add_delete(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("delete", "Delete a post or an author everywhere, for good");
  auto post = std::make_shared<std::string>(), author = std::make_shared<std::string>(),
       reason = std::make_shared<std::string>("user request");
  Option by_post = command.add_option("--post", *post, "Id of the post");
  Option by_author =
      command.add_option("--author", *author, "Id of the author: every post of theirs").excludes(by_post);
  command.add_option("--reason", *reason, "Why; kept in the audit log").show_default();
  command.footer(
      "Examples:\n  starling delete --post 1234\n  starling delete --author mallory --reason \"account closed\" "
      "--json");
  command.callback([&options, post, author, reason, by_post, by_author] {
    if (!by_post.given() && !by_author.given()) throw ConfigError("say what to delete: --post ID or --author ID");
    const bool is_post = by_post.given();
    run_delete(options, is_post ? "post" : "author", is_post ? *post : *author, *reason);
  });
}

}  // namespace starling

#include <fmt/format.h>

#include "app/command.h"
#include "core/error.h"
#include "core/json.h"
#include "core/time.h"
#include "posts/post_store.h"
#include "store/control_db.h"
#include "train/data_audit.h"
#include "train/lineage.h"

namespace starling {
namespace {

using OrderedJson = nlohmann::ordered_json;

struct AuditDataArguments {
  std::string post, author, checkpoint;
  bool list = false;
};

constexpr size_t kShownSamples = 20;

// Post or author -> samples and checkpoints.
void print_uses(const GlobalOptions& options, const std::string& kind, const std::string& id) {
  const Workspace workspace = options.open_workspace();
  const ControlDb control(workspace.control_db());
  const bool deleted = kind == "post" ? control.is_deleted(id, "") : control.is_deleted("", id);
  const std::vector<SamplePlace> places = samples_of(workspace, kind, id);
  const std::vector<std::string> checkpoints = checkpoints_that_saw(workspace, kind, id);
  if (options.json) {
    OrderedJson samples = OrderedJson::array();
    for (const SamplePlace& place : places)
      samples.push_back({{"split", place.split},
                         {"shard", place.shard},
                         {"sample", place.index},
                         {"tokens", place.tokens},
                         {"post", place.post_id}});
    OrderedJson object = {{kind, id}, {"deleted", deleted}};
    if (kind == "post") object["stored"] = PostStore(workspace.posts()).contains(id);
    object["samples"] = samples;
    object["checkpoints"] = checkpoints;
    return fmt::print("{}\n", dump_json_lossy(object, 2));
  }
  fmt::print("{} {}{}\n", kind, id, deleted ? ", deleted" : "");
  if (kind == "post")
    fmt::print("{} in the post store\n", PostStore(workspace.posts()).contains(id) ? "stored" : "not");
  if (places.empty()) fmt::print("in no sample of the present shards\n");
  for (size_t i = 0; i < std::min(places.size(), kShownSamples); ++i)
    fmt::print("sample {} of {}, in {}: {} tokens{}\n", places[i].index, places[i].split, places[i].shard,
               places[i].tokens, kind == "author" ? ", post " + places[i].post_id : "");
  if (places.size() > kShownSamples)
    fmt::print("... and {} more samples (--json lists all)\n", places.size() - kShownSamples);
  if (checkpoints.empty()) return fmt::print("no checkpoint saw it\n");
  fmt::print("seen by:\n  {}\n", fmt::join(checkpoints, "\n  "));
}

// Checkpoint -> what it was trained on.
void print_training_data(const GlobalOptions& options, const std::string& checkpoint, bool list) {
  const Workspace workspace = options.open_workspace();
  const ControlDb control(workspace.control_db());
  OrderedJson posts = OrderedJson::array();
  const TrainingData data = training_data_of(workspace, control, checkpoint, [&](std::string_view id) {
    if (list && options.json) posts.push_back(std::string(id));
    else if (list) fmt::print("{}\n", id);
  });
  if (options.json) {
    OrderedJson object = {{"checkpoint", checkpoint},
                          {"seen_ids", data.seen_ids},
                          {"same_shards", data.same_shards},
                          {"train_samples", data.train_samples},
                          {"train_samples_seen", data.train_samples_seen},
                          {"valid_samples_seen", data.valid_samples_seen},
                          {"tokens_seen", data.tokens_seen},
                          {"first_time", data.first_time_s},
                          {"last_time", data.last_time_s},
                          {"deleted_posts_seen", data.deleted_posts_seen},
                          {"deleted_authors_seen", data.deleted_authors_seen}};
    if (list) object["posts"] = posts;
    return fmt::print("{}\n", dump_json_lossy(object, 2));
  }
  if (list) return;
  fmt::print("{} read {} posts and authors\n", checkpoint, data.seen_ids);
  if (!data.same_shards) fmt::print("the shards were made anew since, or it does not say which it was trained on\n");
  fmt::print("{} of {} training samples of the present shards, {} tokens", data.train_samples_seen, data.train_samples,
             data.tokens_seen);
  if (data.train_samples_seen > 0)
    fmt::print(", {} to {}", format_day(data.first_time_s), format_day(data.last_time_s));
  fmt::print("\n{} validation samples\n", data.valid_samples_seen);
  fmt::print("deleted since: {} posts and {} authors\n", data.deleted_posts_seen, data.deleted_authors_seen);
}

}  // namespace

void add_audit_data(Command audit, const GlobalOptions& options) {
  Command command = audit.add_subcommand("data", "Which checkpoints saw a post, and what a checkpoint was trained on");
  auto arguments = std::make_shared<AuditDataArguments>();
  Command question = command.add_choice();
  question.add_option("--post", arguments->post, "Id of a post: its samples and the checkpoints that saw it");
  question.add_option("--author", arguments->author, "The same of every post of an author");
  question.add_option("--checkpoint", arguments->checkpoint,
                      "models/own or runs/own/checkpoints/step-00000200: what it was trained on");
  command.add_flag("--list", arguments->list, "With --checkpoint: the ids of the posts, one a line");
  command.footer(
      "A checkpoint keeps 64-bit hashes of the ids it saw: a post it saw is always found, another one by chance about\n"
      "once in 2^64 / (posts seen). Imported models do not say what they saw.\n\n"
      "Examples:\n"
      "  starling audit data --post 1234\n"
      "  starling audit data --author mallory --json\n"
      "  starling audit data --checkpoint models/own\n"
      "  starling audit data --checkpoint runs/own/checkpoints/step-00000200 --list > ids.txt");
  command.callback([arguments, &options] {
    if (!arguments->checkpoint.empty()) print_training_data(options, arguments->checkpoint, arguments->list);
    else if (!arguments->post.empty()) print_uses(options, "post", arguments->post);
    else if (!arguments->author.empty()) print_uses(options, "author", arguments->author);
    else throw ConfigError("the id is empty: name a post, an author or a checkpoint");
  });
}

}  // namespace starling

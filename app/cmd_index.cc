#include <fmt/format.h>

#include <memory>

#include "app/command.h"
#include "core/error.h"
#include "core/json.h"
#include "core/stop.h"
#include "infer/engine.h"
#include "search/tuning.h"

namespace starling {
namespace {

struct IndexArguments {
  std::string model;
  bool tune = false, lexical_only = false;
  double tune_seconds = 60;
};

bool has_model(const Workspace& workspace, const std::string& name) {
  return !name.empty() && std::filesystem::exists(workspace.model(name) / "config.json");
}

// --model, else the model of the vectors that are there, else the tuned one, else the platform's own; empty: none.
std::string choose_model(const Workspace& workspace, const Config& config, const IndexArguments& arguments) {
  if (!arguments.model.empty()) return arguments.model;
  if (arguments.tune) return config.text("server.model");
  const std::optional<VectorsHeader> header = read_vectors_header(workspace.index());
  for (const std::string& name :
       {header ? header->model : "", config.text("server.embedder"), config.text("server.model")})
    if (has_model(workspace, name)) return name;
  return {};
}

void run_index(const IndexArguments& arguments, const GlobalOptions& options) {
  const Workspace workspace = options.open_workspace();
  const Config config = options.config();
  PostStore posts(workspace.posts());
  ControlDb control(workspace.control_db());
  std::string model = arguments.lexical_only ? "" : choose_model(workspace, config, arguments);
  nlohmann::ordered_json json;
  if (arguments.tune) {
    if (!has_model(workspace, model))
      throw ConfigError(
          fmt::format("{}: no such model to tune; run `starling train` first", workspace.model(model).string()));
    const TuneReport tuned = tune_embedder(workspace, config, posts, control, model, arguments.tune_seconds);
    json["tune"] = {{"base", model},        {"model", tuned.model},           {"pairs", tuned.pairs},
                    {"steps", tuned.steps}, {"first_loss", tuned.first_loss}, {"last_loss", tuned.last_loss}};
    if (!options.json)
      fmt::print("Tuned {} on {} pairs in {} steps: loss {:.3f} -> {:.3f}\n", tuned.model, tuned.pairs, tuned.steps,
                 tuned.first_loss, tuned.last_loss);
    model = tuned.model;
  }
  const std::unique_ptr<Engine> embedder = model.empty() ? nullptr : Engine::load(workspace.model(model));
  const IndexReport report = build_index(workspace, config, posts, control, embedder.get());
  if (stop_requested()) throw Error("stopped; what is indexed stays, run `starling index` again for the rest");
  json["posts"] = report.posts;
  json["deleted"] = report.deleted;
  json["vectors"] = report.vectors;
  json["model"] = model;
  json["seconds"] = report.seconds;
  if (arguments.tune) json["vector_weight"] = choose_vector_weight(workspace, config, posts, control, *embedder);
  if (options.json) return fmt::print("{}\n", dump_json(json, 2));
  fmt::print("{} posts in the index, {} removed by deletions, {} vectors{}, {:.1f} s\n", report.posts, report.deleted,
             report.vectors, model.empty() ? " (no model: words only)" : " of " + model, report.seconds);
  if (arguments.tune)
    fmt::print("Weight of the vectors, measured before the held-out time: {:.1f}\n",
               json["vector_weight"].get<double>());
}

}  // namespace

void add_index(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("index", "Build or update the search index: words, then the model's vectors");
  auto arguments = std::make_shared<IndexArguments>();
  const Option model = command.add_option(
      "--model", arguments->model, "Model that makes the vectors (default: the one used before, else the own one)");
  const Option tune =
      command.add_flag("--tune", arguments->tune,
                       "First tune the model on replies, threads and shared hashtags; writes models/NAME-embed");
  command.add_option("--tune-seconds", arguments->tune_seconds, "Most time the tuning takes").positive().show_default();
  command.add_flag("--lexical-only", arguments->lexical_only, "Words only, no model").excludes(tune).excludes(model);
  command.footer("Examples:\n  starling index\n  starling index --tune\n  starling index --model own --json");
  command.callback([arguments, &options] { run_index(*arguments, options); });
}

}  // namespace starling

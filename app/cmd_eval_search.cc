#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "app/command.h"
#include "core/error.h"
#include "core/json.h"
#include "infer/engine.h"
#include "search/tuning.h"

namespace starling {
namespace {

struct EvalSearchArguments {
  TrecInput input;
  std::filesystem::path run;
  std::string model, stage = "ranked";
  bool held_out = false;
};

void print(const SearchEvaluation& evaluation, bool json) {
  if (json) {
    nlohmann::ordered_json object = {{"documents", evaluation.documents}, {"queries", evaluation.queries}};
    for (const StageResult& stage : evaluation.stages)
      object["stages"].push_back({{"stage", stage.name},
                                  {"ndcg_10", stage.measures.ndcg_10},
                                  {"map", stage.measures.map},
                                  {"p_30", stage.measures.p_30},
                                  {"mrr", stage.measures.mrr}});
    return fmt::print("{}\n", dump_json(object, 2));
  }
  fmt::print("{} documents, {} queries with a relevant one\n\n{:<10}{:>9}{:>9}{:>9}{:>9}\n", evaluation.documents,
             evaluation.queries, "stage", "nDCG@10", "MAP", "P@30", "MRR");
  for (const StageResult& stage : evaluation.stages)
    fmt::print("{:<10}{:>9.4f}{:>9.4f}{:>9.4f}{:>9.4f}\n", stage.name, stage.measures.ndcg_10, stage.measures.map,
               stage.measures.p_30, stage.measures.mrr);
}

// The model: --model, else for the own posts the one that made the index's vectors; none: words only.
std::unique_ptr<Engine> load_embedder(const EvalSearchArguments& arguments, const Workspace& workspace) {
  std::string name = arguments.model;
  if (name.empty() && arguments.held_out)
    if (const std::optional<VectorsHeader> header = read_vectors_header(workspace.index())) name = header->model;
  return name.empty() ? nullptr : Engine::load(workspace.model(name));
}

SearchEvaluation evaluate(const EvalSearchArguments& arguments, const GlobalOptions& options) {
  const Config config = options.config();
  if (arguments.held_out) {
    const Workspace workspace = options.open_workspace();
    const PostStore posts(workspace.posts());
    const ControlDb control(workspace.control_db());
    const std::unique_ptr<Engine> embedder = load_embedder(arguments, workspace);
    return evaluate_held_out(workspace, config, posts, control, embedder.get());
  }
  if (arguments.input.corpus.empty() || arguments.input.queries.empty() || arguments.input.qrels.empty())
    throw ConfigError("give --held-out, or --corpus, --queries and --qrels");
  const std::unique_ptr<Engine> embedder = load_embedder(arguments, Workspace{options.workspace});
  const std::filesystem::path scratch =
      std::filesystem::temp_directory_path() / fmt::format("starling-eval-{}", getpid());
  return evaluate_trec(arguments.input, scratch, config, embedder.get());
}

void save_run(const SearchEvaluation& evaluation, const EvalSearchArguments& arguments) {
  for (const StageResult& stage : evaluation.stages)
    if (stage.name == arguments.stage) return write_run(arguments.run, stage.run, "starling-" + stage.name);
  throw ConfigError(fmt::format("the {} stage needs a model: give --model", arguments.stage));
}

}  // namespace

void add_eval_search(Command eval, const GlobalOptions& options) {
  Command command =
      eval.add_subcommand("search", "nDCG@10, MAP, P@30 and MRR of each search stage, as trec_eval defines them");
  auto arguments = std::make_shared<EvalSearchArguments>();
  command.add_option("--corpus", arguments->input.corpus, "JSON lines {_id, text}; plain, gzip or zstd");
  command.add_option("--queries", arguments->input.queries, "JSON lines {_id, text, max_id} or TREC topics");
  command.add_option("--qrels", arguments->input.qrels, "TSV with a header, or TREC qrels");
  command.add_option("--language", arguments->input.language, "Language of the corpus, for stemming").show_default();
  command.add_option("--model", arguments->model, "Model under models/ for the vector stages");
  command.add_flag("--held-out", arguments->held_out,
                   "Queries made of the workspace's own latest posts: find the thread");
  command.add_option("--run", arguments->run, "Write the run of --stage as a TREC run file");
  command.add_option("--stage", arguments->stage, "Stage of --run")
      .one_of({"lexical", "feedback", "vector", "fused", "ranked"})
      .show_default();
  command.footer(
      "Examples:\n  starling eval search --corpus c.jsonl.zst --queries q.jsonl --qrels qrels.tsv --run out.trec\n"
      "  starling eval search --held-out --json");
  command.callback([arguments, &options] {
    const SearchEvaluation evaluation = evaluate(*arguments, options);
    if (!arguments->run.empty()) save_run(evaluation, *arguments);
    print(evaluation, options.json);
  });
}

}  // namespace starling

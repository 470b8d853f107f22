#include <fmt/format.h>

#include <limits>

#include "app/command.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/json.h"
#include "infer/read_parameters.h"
#include "ops/matmul.h"
#include "posts/shards.h"
#include "store/control_db.h"
#include "tokenizer/tokenizer.h"
#include "train/baseline.h"
#include "train/evaluate.h"
#include "train/sample_source.h"

namespace starling {
namespace {

struct EvalArguments {
  std::string model = "own";
  int64_t samples = 0;
};

struct Evaluation {
  std::string model;
  SplitScore score;
  BaselineScores baselines;
};

// The later posts in the tokens of the model, which need not be those of the shards.
SplitScore score(const std::filesystem::path& folder, const SampleSource& posts,
                 const std::string& shards_tokenizer_sha256, const Tokenizer& shards_tokenizer) {
  constexpr int64_t kBatchTokens = 4096;
  const ModelConfig config = ModelConfig::load(folder / "config.json");
  Transformer model(config, bf16_products_are_fast() ? DType::bf16 : DType::f32, kBatchTokens,
                    {.recompute = Recompute::blocks, .trained = Trained::none});
  read_parameters(model.parameters(), folder, config);
  if (sha256_file_hex(folder / "tokenizer.json") == shards_tokenizer_sha256)
    return score_split(model, posts, {kBatchTokens});
  const std::unique_ptr<Tokenizer> own = Tokenizer::load(folder / "tokenizer.json");
  return score_split(model, retokenized(posts, shards_tokenizer, *own, static_cast<TokenId>(config.eos_token)),
                     {kBatchTokens});
}

Evaluation evaluate(const Workspace& workspace, const Config& config, const EvalArguments& arguments) {
  const uint64_t newest = config.count("train.newest_samples");
  const std::filesystem::path folder = workspace.model(arguments.model);
  if (!std::filesystem::exists(folder / "config.json"))
    throw IoError(fmt::format("{}: no such model; run `starling train --name {}`", folder.string(), arguments.model));
  const ShardReader train(workspace.shards(), "train"), valid(workspace.shards(), "valid");
  if (valid.sample_count() == 0)
    throw DataError("the validation split is empty; run `starling prepare` on posts of several days");
  require_tokenizer_of(valid, workspace);
  const std::unique_ptr<Tokenizer> tokenizer = Tokenizer::load(workspace.tokenizer());
  const auto mask = mask_of(std::make_shared<ControlDb>(workspace.control_db()));
  const SampleSource posts = spread_of(source_of(valid, mask), static_cast<uint64_t>(arguments.samples));
  const SampleSource seen = newest_of(source_of(train, mask), newest);
  return {arguments.model, score(folder, posts, valid.tokenizer_sha256(), *tokenizer),
          score_baselines(seen, posts, *tokenizer)};
}

void print(const Evaluation& e, bool json) {
  const std::pair<const char*, double> rows[] = {{"model", e.score.bits_per_byte()},
                                                 {"five_gram", e.baselines.five_gram_bits_per_byte},
                                                 {"unigram", e.baselines.unigram_bits_per_byte},
                                                 {"xz", e.baselines.xz_bits_per_byte}};
  if (json) {
    nlohmann::ordered_json object = {{"model", e.model},
                                     {"samples", e.score.samples},
                                     {"tokens", e.score.tokens},
                                     {"text_bytes", e.score.text_bytes},
                                     {"nats_per_token", e.score.nats_per_token()}};
    for (const auto& [name, value] : rows) object["bits_per_byte"][name] = value;
    fmt::print("{}\n", dump_json(object, 2));
    return;
  }
  fmt::print("{} later posts, {} tokens, {} bytes of text\n\n{:<14} bits per byte\n", e.score.samples, e.score.tokens,
             e.score.text_bytes, "");
  for (const auto& [name, value] : rows)
    fmt::print("{:<14} {:.4f}\n", std::string(name) == "model" ? e.model : name, value);
}

}  // namespace

void add_eval(Command root, const GlobalOptions& options) {
  Command command =
      root.add_subcommand("eval", "Bits per byte on later posts, beside xz, a unigram and a 5-gram model");
  auto arguments = std::make_shared<EvalArguments>();
  command
      .add_option("--model", arguments->model,
                  "Model folder under models/: trained here, or imported with a tokenizer of its own")
      .show_default();
  command.add_option("--samples", arguments->samples, "Score so many posts, evenly spaced in time; 0: all")
      .between(int64_t{0}, std::numeric_limits<int64_t>::max())
      .show_default();
  command.footer(
      "Examples:\n  starling eval\n  starling eval --model own --json\n  starling eval --model tinyllama --samples "
      "200");
  command.callback([command, arguments, &options] {
    if (!command.subcommand_given())
      print(evaluate(options.open_workspace(), options.config(), *arguments), options.json);
  });
  add_eval_search(command, options);
  add_eval_quant(command, options);
  add_eval_posts(command, options);
  add_eval_canary(command, options);
}

}  // namespace starling

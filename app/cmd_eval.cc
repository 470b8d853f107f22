#include <fmt/format.h>

#include <algorithm>

#include "app/command.h"
#include "core/error.h"
#include "core/json.h"
#include "model/model_folder.h"
#include "ops/matmul.h"
#include "posts/shards.h"
#include "tokenizer/tokenizer.h"
#include "train/baseline.h"
#include "train/evaluate.h"

namespace starling {
namespace {

struct Evaluation {
  std::string model;
  SplitScore score;
  BaselineScores baselines;
};

Evaluation evaluate(const Workspace& workspace, const Config& config, const std::string& name) {
  const std::filesystem::path folder = workspace.model(name);
  if (!std::filesystem::exists(folder / "config.json"))
    throw IoError(fmt::format("{}: no such model; run `starling train --name {}`", folder.string(), name));
  const ShardReader train(workspace.shards(), "train"), valid(workspace.shards(), "valid");
  if (valid.sample_count() == 0)
    throw DataError("the validation split is empty; run `starling prepare` on posts of several days");
  const ModelConfig model_config = ModelConfig::load(folder / "config.json");
  const auto tokenizer = Tokenizer::load(folder / "tokenizer.json");
  if (tokenizer->vocab_size() != valid.vocab_size())
    throw DataError(
        fmt::format("{} has another tokenizer than the shards; only models trained on them can be evaluated here",
                    folder.string()));
  Transformer model(model_config, bf16_products_are_fast() ? DType::bf16 : DType::f32,
                    std::max<int64_t>(4096, model_config.max_positions));
  load_parameters(model.parameters(), folder / "model.safetensors");
  return {name, score_split(model, source_of(valid), {}),
          score_baselines(train, valid, *tokenizer, config.integer("train.newest_samples"))};
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
  auto name = std::make_shared<std::string>("own");
  command.add_option("--model", *name, "Model folder under models/").show_default();
  command.footer("Examples:\n  starling eval\n  starling eval --model own --json");
  command.callback([command, name, &options] {
    if (!command.subcommand_given()) print(evaluate(options.open_workspace(), options.config(), *name), options.json);
  });
  add_eval_search(command, options);
  add_eval_quant(command, options);
  add_eval_posts(command, options);
  add_eval_canary(command, options);
}

}  // namespace starling

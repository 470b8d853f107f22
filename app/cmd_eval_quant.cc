#include <fmt/format.h>

#include <sstream>

#include "app/command.h"
#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "infer/divergence.h"
#include "infer/weights.h"
#include "posts/shards.h"
#include "store/control_db.h"
#include "train/sample_source.h"

namespace starling {
namespace {

struct EvalQuantArguments {
  std::string model = "own", text;
  std::vector<std::string> weights{"int8", "int4"}, caches{"f16"};
  int64_t tokens = 4096;
};

// Lines of a text file, or the posts of the validation split; about so many tokens.
std::vector<std::vector<TokenId>> read_samples(const EvalQuantArguments& arguments, const Workspace& workspace,
                                               const Tokenizer& tokenizer, const ModelConfig& config) {
  std::vector<std::vector<TokenId>> samples;
  const std::vector<TokenId> opening = tokenizer.opening_tokens(static_cast<TokenId>(config.bos_token));
  int64_t left = arguments.tokens;
  const auto add = [&](std::vector<TokenId> tokens) {
    tokens.insert(tokens.begin(), opening.begin(), opening.end());
    left -= static_cast<int64_t>(tokens.size());
    samples.push_back(std::move(tokens));
  };
  if (arguments.text.empty()) {
    const ShardReader valid(workspace.shards(), "valid");
    if (valid.sample_count() == 0)
      throw DataError("the validation split is empty; run `starling prepare`, or name a text file with --text");
    if (valid.tokenizer_sha256() != sha256_file_hex(workspace.model(arguments.model) / "tokenizer.json"))
      throw DataError("the shards have another tokenizer than this model; name a text file with --text");
    const auto is_masked = mask_of(std::make_shared<ControlDb>(workspace.control_db()));
    for (uint64_t i = 0; i < valid.sample_count() && left > 0; ++i)
      if (Sample sample = valid.sample(i); !is_masked(sample)) add(std::move(sample.tokens));
    if (samples.empty()) throw DataError("every post of the validation split is deleted or opted out");
    return samples;
  }
  std::istringstream lines(read_file(arguments.text));
  for (std::string line; left > 0 && std::getline(lines, line);) {
    if (!line.empty()) add(tokenizer.encode(line));
  }
  return samples;
}

void eval_quant(const EvalQuantArguments& arguments, const GlobalOptions& options) {
  const Workspace workspace = options.open_workspace();
  const std::filesystem::path folder = workspace.model(arguments.model);
  const ModelConfig config = ModelConfig::load(folder / "config.json");
  const std::unique_ptr<Tokenizer> tokenizer = Tokenizer::load(folder / "tokenizer.json");
  const auto samples = read_samples(arguments, workspace, *tokenizer, config);
  const std::unique_ptr<WeightSource> source = open_weights(folder, config);
  Decoder reference(config, load_weights(*source, config, WeightForm::bf16));
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const std::string& form : arguments.weights) {
    Decoder other(config, load_weights(*source, config, weight_form(form)));
    for (const std::string& cache : arguments.caches) {
      const Divergence d = measure_divergence(reference, other, samples, cache_form(cache));
      rows.push_back({{"weights", form},
                      {"bytes", other.weights().bytes()},
                      {"cache", cache},
                      {"positions", d.positions},
                      {"mean_kl_nats", d.mean_kl},
                      {"largest_kl_nats", d.largest_kl},
                      {"same_first_token", d.same_first},
                      {"nats_per_token", d.other_nats},
                      {"bf16_nats_per_token", d.reference_nats}});
    }
  }
  if (options.json) return fmt::print("{}\n", dump_json(rows, 2));
  fmt::print(
      "{} against bf16 ({:.1f} MB) and a cache in f16, on {} positions\n\n"
      "{:<8} {:>9} {:<6} {:>12} {:>12} {:>12} {:>14}\n",
      arguments.model, static_cast<double>(reference.weights().bytes()) / 1e6, rows[0]["positions"].get<int64_t>(),
      "weights", "MB", "cache", "mean KL", "largest KL", "same first", "nats (bf16)");
  for (const auto& row : rows)
    fmt::print("{:<8} {:>9.1f} {:<6} {:>12.6f} {:>12.4f} {:>11.2f}% {:>6.4f} ({:.4f})\n",
               row["weights"].get<std::string>(), row["bytes"].get<double>() / 1e6, row["cache"].get<std::string>(),
               row["mean_kl_nats"].get<double>(), row["largest_kl_nats"].get<double>(),
               100 * row["same_first_token"].get<double>(), row["nats_per_token"].get<double>(),
               row["bf16_nats_per_token"].get<double>());
}

}  // namespace

void add_eval_quant(Command eval, const GlobalOptions& options) {
  Command command = eval.add_subcommand(
      "quant", "KL divergence of a model's 8-bit and 4-bit weights, and cache, against bf16, on text");
  auto arguments = std::make_shared<EvalQuantArguments>();
  command.add_option("-m,--model", arguments->model, "Model in this workspace").show_default();
  command.add_option("--weights", arguments->weights, "Forms of weights to compare with bf16")
      .comma_separated()
      .one_of({"auto", "bf16", "int8", "int4"})
      .show_default();
  command.add_option("--cache", arguments->caches, "Forms of keys and values to compare with f16")
      .comma_separated()
      .one_of({"f16", "int8"})
      .show_default();
  command.add_option("--text", arguments->text, "A text file, a sample a line; without it the validation posts");
  command.add_option("--tokens", arguments->tokens, "About so many tokens")
      .between(int64_t{2}, int64_t{1} << 24)
      .show_default();
  command.footer(
      "Examples:\n  starling eval quant --model own\n"
      "  starling eval quant --model tinyllama --weights bf16,int8,int4 --cache f16,int8 --text posts.txt --json");
  command.callback([arguments, &options] { eval_quant(*arguments, options); });
}

}  // namespace starling

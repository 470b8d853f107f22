#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <system_error>

#include "app/command.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "infer/chat_template.h"
#include "infer/read_parameters.h"
#include "ops/matmul.h"
#include "search/thread_pairs.h"
#include "store/control_db.h"
#include "tokenizer/tokenizer.h"
#include "train/chat_records.h"
#include "train/finetune_checkpoint.h"
#include "train/finetuned_model.h"
#include "train/text_examples.h"
#include "train/trainer.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

struct FinetuneArguments {
  std::string data, base = "own", name, adapter, objective = "supervised", general;
  bool full = false, replace = false, resume = false;
  int64_t newest = 0;
  double general_share = Replay{}.share;
  LoraOptions lora;
  FineTuneOptions options;

  bool reads_posts() const { return data.empty() && (objective == "text" || objective == "contrastive"); }
  bool trains() const { return !data.empty() || reads_posts(); }  // else an adapter is merged
};

ChatEncoder encoder_of(const fs::path& folder, const ModelConfig& config) {
  const std::shared_ptr<Tokenizer> tokenizer = Tokenizer::load(folder / "tokenizer.json");
  const std::optional<ChatTemplate> chat_template = load_chat_template(folder);
  const TextEnds ends{static_cast<TokenId>(config.bos_token), static_cast<TokenId>(config.eos_token)};
  return {[=](const std::vector<ChatTurn>& turns) {
            std::vector<ChatMessage> messages;
            for (const ChatTurn& turn : turns) messages.push_back({turn.role, turn.content});
            return encode_chat(*tokenizer, chat_template, messages, ends);
          },
          [=](const std::string& answer) { return encode_answer(*tokenizer, chat_template, answer, ends); }};
}

// What the posts themselves say belongs together, of those before the time that the search is measured on.
std::vector<RelatedTexts> related_posts(const Workspace& workspace, const Config& config, SeenIds& seen) {
  const PostStore posts(workspace.posts());
  TuningPairs pairs =
      tuning_pairs(posts, ControlDb(workspace.control_db()), split_by_time(workspace, config, posts).tune_before);
  std::erase_if(pairs.texts, [](const RelatedTexts& pair) { return pair.first == pair.second; });
  if (pairs.texts.empty())
    throw DataError("the posts hold no replies, threads, shared hashtags or long texts to make pairs of; give a file");
  for (const auto& [post, author] : pairs.seen) seen.add("post", post), seen.add("author", author);
  return std::move(pairs.texts);
}

// Ids of posts that are trained on go to `seen`.
FineTuneResult tune(Transformer& model, const FinetuneArguments& a, const Workspace& workspace, const Config& settings,
                    SeenIds& seen) {
  const fs::path base = workspace.model(a.base);
  const ModelConfig& config = model.config();
  const ChatEncoder encoder = encoder_of(base, config);
  if (a.objective == "preference")
    return finetune(model, preference_pairs(read_chat_records(a.data, ChatRecordKind::preference), encoder), a.options);
  const std::unique_ptr<Tokenizer> tokenizer = Tokenizer::load(base / "tokenizer.json");
  const std::vector<TokenId> opening = tokenizer->opening_tokens(static_cast<TokenId>(config.bos_token));
  const int64_t longest = std::min(a.options.max_length, a.options.batch_tokens);
  if (a.objective == "contrastive") {
    const auto pairs = a.data.empty() ? related_posts(workspace, settings, seen) : read_related_texts(a.data);
    return finetune(model, text_pairs(pairs, *tokenizer, opening, longest), a.options);
  }
  const auto examples_of = [&](const std::vector<std::string>& texts) {
    return text_examples(texts, *tokenizer, {opening, static_cast<TokenId>(config.eos_token)}, longest);
  };
  std::vector<FineTuneExample> general, examples;
  SeenIds scored;
  const ControlDb control(workspace.control_db());
  const auto examples_in = [&](const fs::path& file, SeenIds& ids) {
    return examples_of(allowed_texts(read_text_records(file), control, ids));
  };
  if (!a.general.empty()) general = examples_in(a.general, a.general_share > 0 ? seen : scored);
  if (a.objective == "supervised")
    examples = supervised_examples(read_chat_records(a.data, ChatRecordKind::supervised), encoder);
  else if (a.data.empty()) examples = examples_of(prepared_texts(workspace, static_cast<uint64_t>(a.newest), seen));
  else examples = examples_in(a.data, seen);
  return finetune(model, examples, a.options, {general, a.general_share});
}

void print(const FinetuneArguments& a, const fs::path& folder, const FineTuneResult& r, bool json) {
  if (json) {
    const nlohmann::ordered_json object = {{"name", a.name},
                                           {"folder", folder.string()},
                                           {"base", a.base},
                                           {"objective", a.trains() ? a.objective : "merge"},
                                           {"trained_parameters", r.trained_parameters},
                                           {"steps", r.steps},
                                           {"examples", r.examples},
                                           {"held_out", r.held_out},
                                           {"passed_over", r.passed_over},
                                           {"loss_before", r.loss_before},
                                           {"loss_after", r.loss_after},
                                           {"accuracy_before", r.accuracy_before},
                                           {"accuracy_after", r.accuracy_after},
                                           {"general_examples", r.replay_examples},
                                           {"general_held_out", r.replay_held_out},
                                           {"general_loss_before", r.general_before},
                                           {"general_loss_after", r.general_after},
                                           {"seconds", r.seconds}};
    fmt::print("{}\n", dump_json(object, 2));
    return;
  }
  if (!a.trains()) {
    fmt::print("{}: {} with its adapter merged\n", folder.string(), a.base);
    return;
  }
  fmt::print("{}: {} steps on {} examples in {:.0f} s, {:.2f} M parameters trained, {} examples passed over\n",
             folder.string(), r.steps, r.examples, r.seconds, static_cast<double>(r.trained_parameters) / 1e6,
             r.passed_over);
  fmt::print("loss on {}: {:.4f} before, {:.4f} after\n",
             r.held_out > 0 ? fmt::format("{} examples held out", r.held_out) : std::string("the examples themselves"),
             r.loss_before, r.loss_after);
  if (!a.general.empty())
    fmt::print("loss on the general set: {:.4f} before, {:.4f} after\n", r.general_before, r.general_after);
  if (a.objective == "preference")
    fmt::print("the chosen answer gained more than the rejected one on {:.1f} % of them\n", r.accuracy_after * 100);
  if (a.objective == "contrastive")
    fmt::print("of the texts of a batch the own partner was the nearest for {:.1f} % before, {:.1f} % after\n",
               r.accuracy_before * 100, r.accuracy_after * 100);
}

// What decides the result beside the records and the objective's options.
std::string what_is_tuned(const FinetuneArguments& a) {
  const std::string adapters =
      a.full ? "whole" : fmt::format("{} {} {}", a.lora.rank, a.lora.alpha, fmt::join(a.lora.targets, ","));
  return fmt::format("{} {} {} {} {}", a.base, a.objective, adapters, a.adapter, a.general_share);
}

void check_unfinished(const FinetuneArguments& a, const fs::path& folder) {
  if (fs::exists(folder) && !a.resume && !a.replace)
    throw ConfigError(fmt::format("{} is not finished: go on with --resume, take another --name, or delete {}", a.name,
                                  folder.string()));
}

// With the run's folders around it, unless a training of this name has something there.
void remove_unfinished(const fs::path& folder) {
  std::error_code not_empty;
  fs::remove_all(folder);
  fs::remove(folder.parent_path(), not_empty);
  fs::remove(folder.parent_path().parent_path(), not_empty);
}

void run(const GlobalOptions& options, FinetuneArguments a) {
  const Workspace workspace = options.open_workspace();
  const fs::path base = workspace.model(a.base), target = workspace.model(a.name);
  if (a.name.empty() || a.name.find('/') != std::string::npos || a.name.starts_with("."))
    throw ConfigError(fmt::format("--name \"{}\" must be a plain folder name", a.name));
  fs::create_directories(workspace.runs());
  const FileLock lock(workspace.model_lock(a.name), "finetune " + a.name);
  if (!fs::exists(base / "config.json"))
    throw IoError(fmt::format("{}: no such model; `starling import` or `starling train` makes one", base.string()));
  if (fs::exists(target) && !a.replace)
    throw ConfigError(fmt::format("{} exists: take another --name, or say --replace", target.string()));
  if (is_unfinished_run(workspace, a.name))
    throw ConfigError(
        fmt::format("a train of the name {0} is not finished: go on with train --name {0} --resume, take "
                    "another --name, or delete {1}",
                    a.name, workspace.run(a.name).string()));
  const fs::path unfinished = tuning_folder(workspace, a.name);
  check_unfinished(a, unfinished);
  if (!a.trains() && a.adapter.empty())
    throw ConfigError(
        "give a file of records to train on, --objective text or contrastive for the posts, or --adapter FOLDER");
  if (!a.general.empty() && (a.objective == "preference" || a.objective == "contrastive" || !a.trains()))
    throw ConfigError("--general goes with --objective supervised or text");
  if (a.full && !a.adapter.empty()) throw ConfigError("--full and --adapter exclude each other");
  const ModelConfig config = ModelConfig::load(base / "config.json");
  a.options.max_length = std::min(a.options.max_length, config.max_positions);
  TransformerOptions model_options{.recompute = Recompute::blocks};
  if (!a.full) model_options.lora = a.adapter.empty() ? a.lora : Lora::read_options(a.adapter);
  Transformer model(config, bf16_products_are_fast() ? DType::bf16 : DType::f32, places_of(a.options), model_options);
  read_parameters(model.parameters(), base, config);
  if (model.lora()) model.lora()->initialize(a.options.seed);
  if (!a.adapter.empty()) model.lora()->load(a.adapter);
  FineTuneLineage lineage{a.base, a.data,   a.trains() ? a.objective : "merge", {}, a.general, a.general_share,
                          {},     a.adapter};
  a.options.checkpoint = {.folder = unfinished, .resume = a.resume, .base = what_is_tuned(a)};
  a.options.checkpoint.add_lineage = [&](const fs::path& folder) { save_seen(base, lineage, folder / "seen.bin"); };
  if (a.trains()) lineage.result = tune(model, a, workspace, options.config(), lineage.seen);
  save_finetuned(model, base, target, lineage);
  remove_unfinished(unfinished);
  print(a, target, lineage.result, options.json);
}

}  // namespace

void add_finetune(Command root, const GlobalOptions& options) {
  Command command =
      root.add_subcommand("finetune", "Teach a model answers or preferences; LoRA adapters, or all of it");
  auto a = std::make_shared<FinetuneArguments>();
  command.add_option("data", a->data, "Records, one JSON object a line (docs/formats/finetuning.md)");
  command.add_option("--base", a->base, "Model folder under models/ to begin from").show_default();
  command.add_option("--name", a->name, "Name of the model that is made").required();
  command
      .add_option("--objective", a->objective,
                  "supervised (loss on answers only), preference (DPO), text (continued pretraining) or contrastive "
                  "(texts that belong together, for embeddings)")
      .one_of({"supervised", "preference", "text", "contrastive"})
      .show_default();
  command.add_flag("--full", a->full, "Train all parameters instead of adapters");
  command.add_option("--rank", a->lora.rank, "Rank of the adapters").show_default();
  command.add_option("--alpha", a->lora.alpha, "Adapters count alpha / rank").show_default();
  command.add_option("--targets", a->lora.targets, "Matrices with an adapter").comma_separated().show_default();
  command.add_option("--adapter", a->adapter, "Begin from this PEFT adapter; without records it is only merged");
  command.add_option("--epochs", a->options.epochs, "Passes over the records").positive().show_default();
  command.add_option("--learning-rate", a->options.learning_rate, "Peak of AdamW's rate").positive().show_default();
  command
      .add_option("--max-length", a->options.max_length,
                  "Longest example in tokens; longer ones are passed over, contrastive: cut")
      .between(2, 1 << 20)
      .show_default();
  command.add_option("--batch-tokens", a->options.batch_tokens, "Places of a step").between(2, 1 << 24).show_default();
  command.add_option("--beta", a->options.beta, "Preference: strength of the pull to the base")
      .positive()
      .show_default();
  command.add_option("--temperature", a->options.temperature, "Contrastive: of the cosines").positive().show_default();
  command.add_option("--held-out", a->options.held_out, "Part of the records scored before and after, not trained on")
      .between(0.0, 0.9)
      .show_default();
  command.add_option("--seed", a->options.seed, "Order of the examples and first adapters").show_default();
  command.add_option("--newest", a->newest, "Text without a file: of the prepared posts the newest; 0: all")
      .between(int64_t{0}, std::numeric_limits<int64_t>::max())
      .show_default();
  command.add_option("--general", a->general, "Texts of a general set, a part of which is mixed in against forgetting");
  command.add_option("--general-share", a->general_share, "Of the places; 0: the general set is scored only")
      .between(0.0, 0.9)
      .show_default();
  command.add_flag("--replace", a->replace, "Replace a model of this name");
  command.add_flag("--resume", a->resume, "Go on where the same command was stopped or killed");
  command.footer(
      "Examples:\n"
      "  starling finetune answers.jsonl --base tinyllama --name support\n"
      "  starling finetune pairs.jsonl --objective preference --base support --name polite --learning-rate 5e-5\n"
      "  starling finetune answers.jsonl --full --learning-rate 1e-4 --base own --name own-chat\n"
      "  starling finetune --objective text --base tinyllama --name our-llama --general general.jsonl\n"
      "  starling finetune --objective contrastive --batch-tokens 8192 --base own --name own-vectors\n"
      "  starling finetune --adapter downloads/adapter --base tinyllama --name merged\n"
      "Ctrl-C keeps what was learned for --resume; a kill loses ten minutes at most.");
  command.callback([a, &options] { run(options, *a); });
}

}  // namespace starling

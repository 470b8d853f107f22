#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <numeric>

#include "app/command.h"
#include "app/operator_table.h"
#include "core/error.h"
#include "core/json.h"
#include "ops/machine_limits.h"
#include "tokenizer/tokenizer.h"
#include "train/estimate.h"
#include "train/options.h"
#include "train/products.h"
#include "train/scaling.h"
#include "train/trainer.h"

namespace starling {
namespace {

struct TrainFlags {
  TrainRequest request;
  int64_t steps = 0;
  double minutes = 0;
  int64_t depth = 0;
  bool estimate = false, profile = false;
};

void print_result(const TrainResult& r, bool json) {
  if (json) {
    const nlohmann::ordered_json object = {
        {"name", r.name},
        {"parameters", r.parameters},
        {"steps", r.steps},
        {"tokens", r.tokens},
        {"epochs_begun", r.epochs_begun},
        {"loss", r.loss},
        {"validation_bits_per_byte",
         r.validation_samples > 0 ? nlohmann::ordered_json(r.validation_bits_per_byte) : nullptr},
        {"validation_samples", r.validation_samples},
        {"seconds", r.seconds},
        {"tokens_per_s", r.tokens_per_s},
        {"tflops", r.tflops},
        {"peak_tflops", r.peak_tflops},
        {"fraction_of_peak", r.fraction_of_peak},
        {"precision", r.precision},
        {"products", r.products},
        {"ranks", r.ranks},
        {"skipped_steps", r.skipped_steps},
        {"noise_scale_tokens", r.noise_scale_tokens ? nlohmann::ordered_json(*r.noise_scale_tokens) : nullptr},
        {"stopped", r.stopped}};
    fmt::print("{}\n", dump_json(object, 2));
    return;
  }
  fmt::print(
      "models/{}: {:.1f} M parameters, {} steps, {:.2f} M tokens in {:.0f} s ({:.0f} tokens/s, {:.0f} % of the {} "
      "product peak)\n",
      r.name, static_cast<double>(r.parameters) / 1e6, r.steps, static_cast<double>(r.tokens) / 1e6, r.seconds,
      r.tokens_per_s, r.fraction_of_peak * 100, r.precision);
  fmt::print("loss {:.3f} nats a token; {}\n", r.loss,
             r.validation_samples > 0 ? fmt::format("{:.4f} bits per byte on {} later posts",
                                                    r.validation_bits_per_byte, r.validation_samples)
                                      : std::string("no later posts to score"));
}

void print_estimate(const TrainEstimate& e, bool json) {
  const TrainMemory& m = e.memory;
  const std::pair<const char*, int64_t> parts[] = {
      {"weights", m.weights_bytes}, {"gradients", m.gradients_bytes},     {"compute_copy", m.compute_copy_bytes},
      {"moments", m.moments_bytes}, {"activations", m.activations_bytes}, {"logits", m.logits_bytes}};
  if (json) {
    nlohmann::ordered_json memory;
    for (const auto& [name, bytes] : parts) memory[std::string(name) + "_bytes"] = bytes;
    memory["total_bytes"] = m.total();
    fmt::print("{}\n", dump_json(nlohmann::ordered_json{{"parameters", e.parameters},
                                                        {"memory", memory},
                                                        {"steps", e.steps},
                                                        {"tokens", e.tokens},
                                                        {"step_s", e.step_s},
                                                        {"tokens_per_s", e.tokens_per_s},
                                                        {"seconds", e.seconds}},
                                 2));
    return;
  }
  const auto megabytes = [](int64_t bytes) { return static_cast<double>(bytes) / 1e6; };
  fmt::print("{:.1f} M parameters, {:.0f} MB:", static_cast<double>(e.parameters) / 1e6, megabytes(m.total()));
  for (const auto& [name, bytes] : parts) fmt::print(" {} {:.0f}", name, megabytes(bytes));
  fmt::print("\n{} steps, {:.2f} M tokens at {:.0f} tokens/s: {:.1f} minutes, evaluation and checkpoints not counted\n",
             e.steps, static_cast<double>(e.tokens) / 1e6, e.tokens_per_s, e.seconds / 60);
}

// A few steps of the run as it would be, on random tokens.
void print_profile(const ModelConfig& model, const TrainOptions& train, bool json) {
  constexpr int64_t kSteps = 5;
  const MeasuredSteps measured = measure_steps(model, train, kSteps);
  const double seconds = std::accumulate(measured.seconds.begin(), measured.seconds.end(), 0.0);
  const double peak = measure_peak_flops(train.compute(), train.device);
  const double tokens_per_s = static_cast<double>(kSteps * train.batch_tokens) / seconds;
  const double flops = tokens_per_s * model.train_flops_per_token(train.sequence_length);
  const nlohmann::ordered_json table =
      operator_table(measured.operators, seconds, peak, measure_memory_bytes_per_s(train.device));
  if (json) {
    const nlohmann::ordered_json object = {{"steps", kSteps},
                                           {"tokens_per_s", tokens_per_s},
                                           {"tflops", flops / 1e12},
                                           {"peak_tflops", peak / 1e12},
                                           {"fraction_of_peak", flops / peak},
                                           {"operators", table}};
    fmt::print("{}\n", dump_json(object, 2));
    return;
  }
  fmt::print("{} steps, {}: {:.0f} tokens/s, {:.3f} TFLOP/s, {:.0f} % of the measured peak of {:.3f} TFLOP/s\n", kSteps,
             name_of(train.compute()), tokens_per_s, flops / 1e12, flops / peak * 100, peak / 1e12);
  print_operator_table(table);
}

ModelConfig model_of(const GlobalOptions& options, const Config& config) {
  const auto tokenizer = Tokenizer::load(options.open_workspace().tokenizer());
  return model_config(config, tokenizer->vocab_size(), 1, 2);
}

// The settings that a depth stands for. The tokens of the run, on which rate and batch depend, are those of --steps or
// what the machine trains in --minutes, else compute-optimal.
void set_depth(Config& config, const GlobalOptions& options, const TrainFlags& flags) {
  const ModelConfig model =
      model_of_depth(flags.depth, Tokenizer::load(options.open_workspace().tokenizer())->vocab_size());
  const int64_t length = config.integer("train.sequence_length");
  int64_t tokens = compute_optimal_tokens(model);
  const auto apply = [&] {
    for (const std::string& setting : scaled_settings(model, scaled_training(model, tokens, length)))
      config.set(setting);
    for (const std::string& setting : options.assignments) config.set(setting);  // --set has the last word
  };
  apply();
  const bool bounded = flags.steps > 0 || flags.minutes > 0;
  for (int round = 0; bounded && round < 3; ++round) {  // the batch depends on the tokens, and they on the batch
    const TrainOptions train = train_options(config);
    tokens =
        flags.steps > 0 ? flags.steps * train.batch_tokens : estimate_training(model_of(options, config), train).tokens;
    apply();
    if (flags.minutes > 0) break;
  }
  if (!bounded) config.set(fmt::format("train.steps={}", tokens / train_options(config).batch_tokens));
}

// A resumed run has the settings saved with it, whatever this command line says.
void warn_of_other_settings(const GlobalOptions& options, const TrainFlags& flags) {
  const std::filesystem::path settings = options.open_workspace().run(flags.request.name) / "starling.toml";
  if (!flags.request.resume || !std::filesystem::exists(settings)) return;
  std::vector<std::string> assignments = options.assignments;
  if (flags.steps > 0) assignments.push_back(fmt::format("train.steps={}", flags.steps));
  if (flags.minutes > 0) assignments.push_back(fmt::format("train.minutes={:f}", flags.minutes));
  if (flags.depth > 0) assignments.push_back(fmt::format("model.layers={}", flags.depth));
  Config saved(all_config_keys());
  saved.load_file(settings);
  for (const std::string& assignment : assignments) {
    Config asked = saved;
    asked.set(assignment);
    if (asked.to_toml() != saved.to_toml())
      spdlog::warn("the run goes on with its own settings, without {}; they are in {}", assignment, settings.string());
  }
}

void run(const GlobalOptions& options, const TrainFlags& flags) {
  Config config = options.config();
  if (flags.steps > 0) config.set(fmt::format("train.steps={}", flags.steps));
  if (flags.minutes > 0) {
    config.set(fmt::format("train.minutes={:f}", flags.minutes));
    config.set("train.steps=0");
  }
  if (flags.depth > 0) set_depth(config, options, flags);
  if (flags.estimate || flags.profile) settle_products(config);
  if (flags.estimate)
    return print_estimate(estimate_training(model_of(options, config), train_options(config)), options.json);
  if (flags.profile) return print_profile(model_of(options, config), train_options(config), options.json);
  warn_of_other_settings(options, flags);
  const TrainResult result = train(options.open_workspace(), config, flags.request);
  if (result.rank > 0) return;  // rank 0 speaks for all
  if (result.stopped)
    throw Error(
        fmt::format("stopped at step {}; go on with `starling train --name {} --resume`", result.steps, result.name));
  print_result(result, options.json);
}

}  // namespace

void add_train(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("train", "Train the platform's own model on the prepared shards");
  auto flags = std::make_shared<TrainFlags>();
  command.add_option("--name", flags->request.name, "Name of the run and of the model").show_default();
  const Option steps = command.add_option("--steps", flags->steps, "Optimizer steps (train.steps)").positive();
  command.add_option("--minutes", flags->minutes, "Time budget (train.minutes); the schedule is fitted to it")
      .positive()
      .excludes(steps);
  command
      .add_option("--depth", flags->depth,
                  "Blocks; sets width, heads, learning rate and batch by published scaling laws")
      .positive();
  const Option estimate =
      command.add_flag("--estimate", flags->estimate, "Print memory, time and tokens, and do not train");
  command
      .add_flag("--profile", flags->profile,
                "Print a table of operators with time, operations, bytes and percent of the limit; do not train")
      .excludes(estimate);
  command.add_flag("--resume", flags->request.resume,
                   "Go on from the last checkpoint, with the settings saved with the run");
  command.footer(
      "Examples:\n  starling train --minutes 5\n  starling train --name own --resume\n  starling train --depth 6 "
      "--minutes 60 --estimate\n  starling train --steps 500 "
      "--set train.learning_rate=0.005\n  mpirun -n 4 starling train --minutes 60   (a build with MPI: make build "
      "PRESET=mpi)\n"
      "Ctrl-C saves a checkpoint and ends.");
  command.callback([flags, &options] { run(options, *flags); });
}

}  // namespace starling

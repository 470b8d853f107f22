#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "app/command.h"
#include "core/error.h"
#include "train/trainer.h"

namespace starling {
namespace {

struct TrainFlags {
  TrainRequest request;
  int64_t steps = 0;
  double minutes = 0;
};

void print_result(const TrainResult& r, bool json) {
  if (json) {
    const nlohmann::ordered_json object = {{"name", r.name},
                                           {"parameters", r.parameters},
                                           {"steps", r.steps},
                                           {"tokens", r.tokens},
                                           {"epochs_begun", r.epochs_begun},
                                           {"loss", r.loss},
                                           {"validation_bits_per_byte", r.validation_bits_per_byte},
                                           {"seconds", r.seconds},
                                           {"tokens_per_s", r.tokens_per_s},
                                           {"tflops", r.tflops},
                                           {"peak_tflops", r.peak_tflops},
                                           {"fraction_of_peak", r.fraction_of_peak},
                                           {"precision", r.precision},
                                           {"stopped", r.stopped}};
    fmt::print("{}\n", object.dump(2));
    return;
  }
  fmt::print(
      "models/{}: {:.1f} M parameters, {} steps, {:.2f} M tokens in {:.0f} s ({:.0f} tokens/s, {:.0f} % of the {} "
      "product peak)\n",
      r.name, static_cast<double>(r.parameters) / 1e6, r.steps, static_cast<double>(r.tokens) / 1e6, r.seconds,
      r.tokens_per_s, r.fraction_of_peak * 100, r.precision);
  fmt::print("loss {:.3f} nats a token; {:.4f} bits per byte on later posts\n", r.loss, r.validation_bits_per_byte);
}

void run(const GlobalOptions& options, const TrainFlags& flags) {
  Config config = options.config();
  if (flags.steps > 0) config.set(fmt::format("train.steps={}", flags.steps));
  if (flags.minutes > 0) {
    config.set(fmt::format("train.minutes={:f}", flags.minutes));
    config.set("train.steps=0");
  }
  const TrainResult result = train(options.open_workspace(), config, flags.request);
  if (result.stopped)
    throw Error(
        fmt::format("stopped at step {}; go on with `starling train --name {} --resume`", result.steps, result.name));
  print_result(result, options.json);
}

}  // namespace

void add_train(CLI::App& root, const GlobalOptions& options) {
  CLI::App* command = root.add_subcommand("train", "Train the platform's own model on the prepared shards");
  auto flags = std::make_shared<TrainFlags>();
  command->add_option("--name", flags->request.name, "Name of the run and of the model")->capture_default_str();
  auto* steps =
      command->add_option("--steps", flags->steps, "Optimizer steps (train.steps)")->check(CLI::PositiveNumber);
  command->add_option("--minutes", flags->minutes, "Time budget (train.minutes); the schedule is fitted to it")
      ->check(CLI::PositiveNumber)
      ->excludes(steps);
  command->add_flag("--resume", flags->request.resume,
                    "Go on from the last checkpoint, with the settings saved with the run");
  command->footer(
      "Examples:\n  starling train --minutes 5\n  starling train --name own --resume\n  starling train --steps 500 "
      "--set train.learning_rate=0.005\n"
      "Ctrl-C saves a checkpoint and ends.");
  command->callback([flags, &options] { run(options, *flags); });
}

}  // namespace starling

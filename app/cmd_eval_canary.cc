#include <fmt/format.h>

#include "app/command.h"
#include "core/error.h"
#include "core/json.h"
#include "core/progress.h"
#include "infer/memorization.h"
#include "posts/canary.h"
#include "train/card_section.h"
#include "train/lineage.h"

namespace starling {
namespace {

struct EvalCanaryArguments {
  std::string model = "own";
  int64_t alternatives = 1023, controls = 8;
};

PlantedSecret planted(int64_t index, int64_t copies, int64_t alternatives) {
  const Canary c = canary(index);
  PlantedSecret secret{c.prefix, c.secret, copies, {}};
  for (int64_t draw = 1; draw <= alternatives; ++draw)
    secret.alternatives.push_back(canary_secret(index, static_cast<uint64_t>(draw)));
  return secret;
}

// The canaries that the model saw, and as many that it did not as asked for.
std::vector<PlantedSecret> secrets_of(const SeenIds& seen, const EvalCanaryArguments& arguments) {
  std::vector<PlantedSecret> secrets;
  int64_t controls = 0, last_seen = -1;
  for (int64_t index = 0; index < kMaxCanaries; ++index) {
    const int64_t planted_copies = canary(index).copies;
    int64_t copies = 0;
    for (int64_t copy = 0; copy < planted_copies; ++copy)
      copies += seen.contains("post", canary_post_id(index, copy)) ? 1 : 0;
    if (copies > 0) last_seen = index;
    if (copies > 0 || controls++ < arguments.controls)
      secrets.push_back(planted(index, copies, arguments.alternatives));
  }
  if (last_seen < 0)
    throw DataError(fmt::format("models/{} saw no canaries; prepare with --set prepare.canaries=40 and train again",
                                arguments.model));
  return secrets;
}

std::string card_text(const std::map<int64_t, Memorization>& groups, const EvalCanaryArguments& arguments) {
  int64_t secrets = 0, extracted = 0;
  std::string rows;
  for (const auto& [copies, group] : groups) {
    rows += fmt::format("| {} | {} | {} | {:.2f} | {:.2f} |\n", copies, group.secrets, group.extracted,
                        group.exposure_bits, group.largest_exposure_bits);
    if (copies == 0) continue;
    secrets += group.secrets;
    extracted += group.extracted;
  }
  return fmt::format(
      "{} of {} invented secrets of eight digits that were planted among the training posts come out of the model when "
      "it is given the words before them. Exposure: how far up a secret ranks among {} that were not planted (bits; "
      "1.44 in the mean for a secret never seen, at most {:.1f}). `starling eval canary` measured it (Carlini et al. "
      "2019).\n\n| copies seen | secrets | extracted | mean exposure | largest |\n|---|---|---|---|---|\n{}",
      extracted, secrets, arguments.alternatives, exposure_bits(1, std::vector<double>(arguments.alternatives, 0.0)),
      rows.substr(0, rows.size() - 1));
}

void print(const std::map<int64_t, Memorization>& groups, const EvalCanaryArguments& arguments, bool json) {
  if (json) {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const auto& [copies, group] : groups)
      rows.push_back({{"copies_seen", copies},
                      {"secrets", group.secrets},
                      {"extracted", group.extracted},
                      {"mean_exposure_bits", group.exposure_bits},
                      {"largest_exposure_bits", group.largest_exposure_bits}});
    const nlohmann::ordered_json object = {
        {"model", arguments.model}, {"alternatives", arguments.alternatives}, {"by_copies", rows}};
    return fmt::print("{}\n", dump_json(object, 2));
  }
  fmt::print("{:>11}{:>9}{:>11}{:>15}{:>9}\n", "copies seen", "secrets", "extracted", "mean exposure", "largest");
  for (const auto& [copies, group] : groups)
    fmt::print("{:>11}{:>9}{:>11}{:>10.2f} bits{:>9.2f}\n", copies, group.secrets, group.extracted, group.exposure_bits,
               group.largest_exposure_bits);
}

void eval_canary(const EvalCanaryArguments& arguments, const GlobalOptions& options) {
  const Workspace workspace = options.open_workspace();
  const std::filesystem::path folder = workspace.model(arguments.model);
  if (!std::filesystem::exists(folder / "seen.bin"))
    throw IoError(fmt::format("{}: no seen.bin; only a model that was trained here can be measured", folder.string()));
  const std::vector<PlantedSecret> secrets = secrets_of(SeenIds::load(folder / "seen.bin"), arguments);
  const std::unique_ptr<Engine> engine = Engine::load(folder);
  Progress progress("canaries", secrets.size(), "secrets");
  const auto groups = measure_memorization(*engine, secrets, [&](size_t done) { progress.update(done); });
  write_card_section(folder, workspace.run(arguments.model), "Memorisation", card_text(groups, arguments));
  print(groups, arguments, options.json);
}

}  // namespace

void add_eval_canary(Command eval, const GlobalOptions& options) {
  Command command = eval.add_subcommand(
      "canary", "What the model memorises: exposure and extraction of planted secrets; written into its card");
  auto arguments = std::make_shared<EvalCanaryArguments>();
  command.add_option("-m,--model", arguments->model, "Model that was trained here").show_default();
  command.add_option("--alternatives", arguments->alternatives, "Secrets that each planted one is ranked among")
      .between(int64_t{1}, int64_t{1} << 20)
      .show_default();
  command.add_option("--controls", arguments->controls, "Secrets that were never planted, measured beside")
      .between(int64_t{0}, int64_t{1000})
      .show_default();
  command.footer(
      "Canaries are planted when the shards are made:\n"
      "  starling prepare --set prepare.canaries=40\n  starling train\n  starling eval canary");
  command.callback([arguments, &options] { eval_canary(*arguments, options); });
}

}  // namespace starling

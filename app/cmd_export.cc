#include <fmt/format.h>

#include "app/command.h"
#include "core/json.h"
#include "infer/export.h"

namespace starling {
namespace {

struct ExportArguments {
  std::string model = "own", to;
  ExportOptions options;
};

void run_export(const ExportArguments& arguments, const GlobalOptions& options) {
  const std::filesystem::path folder = options.open_workspace().model(arguments.model);
  const ExportReport report = export_model(folder, arguments.to, arguments.options);
  if (options.json) {
    const nlohmann::ordered_json json = {{"model", arguments.model},           {"path", arguments.to},
                                         {"format", arguments.options.format}, {"type", arguments.options.type},
                                         {"parameters", report.parameters},    {"bytes", report.bytes}};
    return fmt::print("{}\n", dump_json(json));
  }
  fmt::print("Model {} is in {}: {:.1f} million parameters, {:.1f} MB as {} {}\n", arguments.model, arguments.to,
             static_cast<double>(report.parameters) / 1e6, static_cast<double>(report.bytes) / 1e6,
             arguments.options.format, arguments.options.type);
}

}  // namespace

void add_export(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("export", "Write a model for other engines: GGUF or safetensors");
  auto arguments = std::make_shared<ExportArguments>();
  command.add_option("-m,--model", arguments->model, "Model in this workspace").show_default();
  command.add_option("to", arguments->to, "The GGUF file or the folder to write").required();
  command.add_option("--format", arguments->options.format, "gguf or safetensors")
      .one_of({"gguf", "safetensors"})
      .show_default();
  command
      .add_option("--type", arguments->options.type, "Of the matrices: f32, f16, bf16; in GGUF also q8_0, q4_0, q4_k")
      .one_of({"f32", "f16", "bf16", "q8_0", "q4_0", "q4_k"})
      .show_default();
  command.add_flag("--replace", arguments->options.replace, "Replace what is there");
  command.footer(
      "Examples:\n"
      "  starling export --model own own.gguf --type q8_0\n"
      "  starling export --model own ~/own-hf --format safetensors --type bf16");
  command.callback([arguments, &options] { run_export(*arguments, options); });
}

}  // namespace starling

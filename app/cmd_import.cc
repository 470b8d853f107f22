#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "app/command.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "infer/import.h"

namespace starling {
namespace {

struct ImportArguments {
  std::string path, name;
  ImportOptions options;
};

// A name becomes a folder, so it must not lead out of models/.
void check_name(const std::string& name) {
  const bool plain =
      !name.empty() && name[0] != '.' &&
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == std::string::npos;
  if (!plain) throw ConfigError(fmt::format("--name \"{}\": use letters, digits, '.', '_' and '-'", name));
}

void run_import(const ImportArguments& arguments, const GlobalOptions& options) {
  check_name(arguments.name);
  const Workspace workspace = options.open_workspace();
  const std::filesystem::path folder = workspace.model(arguments.name);
  std::filesystem::create_directories(workspace.runs());
  const FileLock lock(workspace.model_lock(arguments.name), "import " + arguments.name);
  const ImportReport report = import_model(arguments.path, folder, arguments.options);
  if (report.unknown_chat_template)
    spdlog::warn(
        "the model's chat template is not one of docs/formats/models.md: conversations are `role: content` lines");
  if (options.json) {
    const nlohmann::json json = {{"name", arguments.name},
                                 {"folder", folder.string()},
                                 {"format", report.format},
                                 {"parameters", report.parameters},
                                 {"weight_bytes", report.weight_bytes},
                                 {"chat_template", report.chat_template}};
    fmt::print("{}\n", dump_json(json));
    return;
  }
  fmt::print("Model {} is ready in {}: {:.1f} million parameters, {:.1f} MB as {}, chat template: {}\n", arguments.name,
             folder.string(), static_cast<double>(report.parameters) / 1e6,
             static_cast<double>(report.weight_bytes) / 1e6, report.format,
             report.unknown_chat_template   ? "not known"
             : report.chat_template.empty() ? "none"
                                            : report.chat_template);
}

}  // namespace

void add_import(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("import", "Bring a Llama model from elsewhere into models/NAME");
  auto arguments = std::make_shared<ImportArguments>();
  ImportOptions& import_options = arguments->options;
  command.add_option("path", arguments->path, "A Hugging Face folder, a GGUF file or a llama2.c checkpoint").required();
  command.add_option("--name", arguments->name, "Name of the model in this workspace").required();
  command.add_option("--format", import_options.format, "auto, safetensors, gguf or llama2c")
      .one_of({"auto", "safetensors", "gguf", "llama2c"})
      .show_default();
  command.add_option("--sha256", import_options.sha256, "Refuse the file unless this is its SHA-256 (64 hex digits)");
  command.add_option("--tokenizer", import_options.tokenizer_json,
                     "A tokenizer.json, or ranks named ENCODING.tiktoken, to use instead of the file's vocabulary");
  command.add_flag("--replace", import_options.replace, "Replace a model of this name");
  command.footer(
      "Examples:\n"
      "  starling import tinyllama.gguf --name tinyllama --sha256 0f1e...\n"
      "  starling import ~/models/TinyLlama-1.1B-Chat-v1.0 --name tinyllama\n"
      "  starling import stories15M.bin --format llama2c --tokenizer tokenizer.json --name stories");
  command.callback([arguments, &options] { run_import(*arguments, options); });
}

}  // namespace starling

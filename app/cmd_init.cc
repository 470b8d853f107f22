#include <fmt/format.h>

#include "app/command.h"
#include "core/json.h"

namespace starling {

void add_init(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("init", "Make a workspace folder with a commented starling.toml");
  auto folder = std::make_shared<std::filesystem::path>();
  command.add_option("folder", *folder, "The folder to make (default: --workspace)");
  command.footer("Example:\n  starling init demo");
  command.callback([folder, &options] {
    Config config(all_config_keys());
    for (const std::string& assignment : options.assignments) config.set(assignment);
    const Workspace workspace = Workspace::create(folder->empty() ? options.workspace : *folder, config.to_toml());
    const std::string made = workspace.root.string(), settings = workspace.config_file().string();
    if (options.json)
      return fmt::print("{}\n", dump_json(nlohmann::ordered_json{{"workspace", made}, {"config", settings}}, 2));
    fmt::print("Workspace {} is ready; its settings are in {}\n", made, settings);
  });
}

}  // namespace starling

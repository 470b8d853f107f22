#include <fmt/format.h>

#include "app/command.h"
#include "core/error.h"
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
    Workspace workspace{folder->empty() ? options.workspace : *folder};
    const bool was_there = std::filesystem::exists(workspace.config_file());
    if (was_there && !options.assignments.empty())
      throw ConfigError(fmt::format("{}: the workspace was there already; change its settings in this file",
                                    workspace.config_file().string()));
    workspace = Workspace::create(workspace.root, config.to_toml());
    const std::string made = workspace.root.string(), settings = workspace.config_file().string();
    if (options.json)
      return fmt::print("{}\n", dump_json(nlohmann::ordered_json{{"workspace", made}, {"config", settings}}, 2));
    fmt::print("Workspace {} {}; its settings are in {}\n", made, was_there ? "was there already" : "is ready",
               settings);
  });
}

}  // namespace starling

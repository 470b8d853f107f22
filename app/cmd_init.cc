#include <fmt/format.h>

#include "app/command.h"

namespace starling {

void add_init(Command root, const GlobalOptions& options) {
  Command command = root.add_subcommand("init", "Make a workspace folder with a commented starling.toml");
  auto folder = std::make_shared<std::string>(".");
  command.add_option("folder", *folder, "The folder to make").show_default();
  command.footer("Example:\n  starling init demo");
  command.callback([folder, &options] {
    Config config(all_config_keys());
    for (const std::string& assignment : options.assignments) config.set(assignment);
    const Workspace workspace = Workspace::create(*folder, config.to_toml());
    fmt::print("Workspace {} is ready; its settings are in {}\n", workspace.root.string(),
               workspace.config_file().string());
  });
}

}  // namespace starling

#include <filesystem>

#include "app/command.h"

namespace starling {

std::vector<ConfigKey> all_config_keys() {
  std::vector<ConfigKey> keys;
  return keys;
}

Config GlobalOptions::config() const {
  const std::vector<ConfigKey> keys = all_config_keys();
  Config config(keys);
  const Workspace folder{workspace};
  if (std::filesystem::exists(folder.config_file())) config.load_file(folder.config_file());
  for (const std::string& assignment : assignments) config.set(assignment);
  return config;
}

}  // namespace starling

#include <filesystem>

#include "ads/ads_service.h"
#include "app/command.h"
#include "posts/ingest.h"
#include "search/search_service.h"
#include "server/server_config.h"
#include "tokenizer/tokenizer.h"
#include "train/options.h"

namespace starling {

std::vector<ConfigKey> all_config_keys() {
  std::vector<ConfigKey> keys;
  for (const ConfigKey& key : tokenizer_config_keys()) keys.push_back(key);
  for (const ConfigKey& key : posts_config_keys()) keys.push_back(key);
  for (const ConfigKey& key : train_config_keys()) keys.push_back(key);
  for (const ConfigKey& key : server_config_keys()) keys.push_back(key);
  for (const ConfigKey& key : search_config_keys()) keys.push_back(key);
  for (const ConfigKey& key : ads_config_keys()) keys.push_back(key);
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

#include "core/workspace.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/file.h"

namespace starling {
namespace fs = std::filesystem;

Workspace Workspace::open(const fs::path& folder) {
  Workspace workspace{folder};
  if (!fs::exists(workspace.config_file()))
    throw ConfigError(fmt::format("{}: not a workspace (no starling.toml); run `starling init {}` first",
                                  folder.string(), folder.string()));
  return workspace;
}

Workspace Workspace::create(const fs::path& folder, const std::string& starling_toml) {
  Workspace workspace{folder};
  for (const fs::path& path :
       {workspace.posts(), workspace.shards(), workspace.models(), workspace.index(), workspace.runs()}) {
    std::error_code code;
    fs::create_directories(path, code);
    if (code) throw IoError(fmt::format("{}: create folder: {}", path.string(), code.message()));
  }
  if (!fs::exists(workspace.config_file())) write_file_atomic(workspace.config_file(), starling_toml);
  return workspace;
}

}  // namespace starling

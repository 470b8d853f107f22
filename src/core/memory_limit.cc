#include "core/memory_limit.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace starling {

int64_t memory_limit_bytes(const std::filesystem::path& cgroups, const std::filesystem::path& memberships) {
  int64_t least = sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
  std::ifstream lines(memberships);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("0::/")) continue;
    std::filesystem::path group = line.substr(3);
    for (;; group = group.parent_path()) {  // each group also obeys those that hold it
      // A group without a limit says "max", and the root of all has no such file.
      std::ifstream file(cgroups / group.relative_path() / "memory.max");
      if (int64_t limit = 0; file >> limit) least = std::min(least, limit);
      if (!group.has_relative_path()) break;
    }
  }
  return least;
}

}  // namespace starling

#include "core/memory_limit.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>

namespace starling {
namespace {

// Of the line "NAME 123 kB" in one of the kernel's tables.
std::optional<int64_t> table_bytes(const char* table, const std::string& name) {
  std::ifstream lines(table);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name)) return std::stoll(line.substr(name.size())) * 1024;
  return std::nullopt;
}

}  // namespace

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

int64_t memory_left_bytes(const std::filesystem::path& cgroups, const std::filesystem::path& memberships) {
  // Mapped files are not what a process holds: they give way.
  const int64_t left =
      memory_limit_bytes(cgroups, memberships) - table_bytes("/proc/self/status", "RssAnon:").value_or(0);
  return std::max<int64_t>(0, std::min(left, table_bytes("/proc/meminfo", "MemAvailable:").value_or(left)));
}

}  // namespace starling

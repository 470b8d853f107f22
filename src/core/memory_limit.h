// How much memory this process may use.
#pragma once

#include <cstdint>
#include <filesystem>

namespace starling {

// What the machine has, or less where a control group (version 2) that holds this process has a limit: a container, a
// service, a job.
//   cgroups      where the groups are mounted
//   memberships  the kernel's list of those of this process, "0::/path"
int64_t memory_limit_bytes(const std::filesystem::path& cgroups = "/sys/fs/cgroup",
                           const std::filesystem::path& memberships = "/proc/self/cgroup");

}  // namespace starling

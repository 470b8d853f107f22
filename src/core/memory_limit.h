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

// What of it this process may still take without swapping: no more than the system could give now, nor than the limit
// less what this process holds. What others in its control group hold is not seen. Never below 0.
int64_t memory_left_bytes(const std::filesystem::path& cgroups = "/sys/fs/cgroup",
                          const std::filesystem::path& memberships = "/proc/self/cgroup");

}  // namespace starling

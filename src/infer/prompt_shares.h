// How the tokens that a step has for prompts are shared among the jobs that have some to read.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "infer/service.h"

namespace starling {

struct WaitingPrompt {
  const Service* service = nullptr;
  int64_t tokens = 0;  // that are left to read
};

// The share of each prompt; together at most `tokens`. `prompts` are in the order of the scheduler's ranks.
//   - Batch work takes what interactive work leaves.
//   - Tenants of one priority share evenly; what one does not need goes to the others. Below kLeastShare tokens a share
//     is not worth its turn: then some tenants wait.
//   - Of a tenant's prompts the shortest come first: the mean time to the first token is the least then. But a quarter
//     is for the one that has waited longest, so that none waits for ever.
std::vector<int64_t> prompt_shares(std::span<const WaitingPrompt> prompts, int64_t tokens);

inline constexpr int64_t kLeastShare = 16;

}  // namespace starling

#include "infer/prompt_shares.h"

#include <algorithm>
#include <string_view>

namespace starling {
namespace {

constexpr int64_t kPartOfLongestWaiting = 4;  // 1 / 4 of a tenant's share

struct Tenant {
  std::string_view name;
  int64_t tokens = 0;           // that its prompts have left
  std::vector<size_t> prompts;  // in the order of their ranks
};

std::vector<Tenant> tenants_of(std::span<const WaitingPrompt> prompts, Priority priority) {
  std::vector<Tenant> tenants;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const Service& service = *prompts[i].service;
    if (service.priority != priority || prompts[i].tokens == 0) continue;
    auto tenant = std::ranges::find(tenants, service.tenant, &Tenant::name);
    if (tenant == tenants.end()) tenant = tenants.insert(tenant, {service.tenant, 0, {}});
    tenant->tokens += prompts[i].tokens;
    tenant->prompts.push_back(i);
  }
  return tenants;
}

void share_among_prompts(Tenant& tenant, int64_t tokens, std::span<const WaitingPrompt> prompts,
                         std::vector<int64_t>& shares) {
  const auto give = [&](size_t prompt, int64_t most) {
    const int64_t more = std::min({most, tokens, prompts[prompt].tokens - shares[prompt]});
    shares[prompt] += more;
    tokens -= more;
  };
  give(tenant.prompts.front(), std::max(kLeastShare, tokens / kPartOfLongestWaiting));
  std::stable_sort(tenant.prompts.begin(), tenant.prompts.end(),
                   [&](size_t a, size_t b) { return prompts[a].tokens < prompts[b].tokens; });
  for (const size_t prompt : tenant.prompts) give(prompt, tokens);
}

}  // namespace

std::vector<int64_t> prompt_shares(std::span<const WaitingPrompt> prompts, int64_t tokens) {
  std::vector<int64_t> shares(prompts.size(), 0);
  for (const Priority priority : {Priority::interactive, Priority::batch}) {
    std::vector<Tenant> tenants = tenants_of(prompts, priority);
    auto waiting = static_cast<int64_t>(tenants.size());
    const auto share = [&] { return std::max(kLeastShare, tokens / waiting); };
    // Those that need less than an even share first: the others' grow by what these leave.
    std::stable_sort(tenants.begin(), tenants.end(),
                     [even = waiting > 0 ? share() : 0](const Tenant& a, const Tenant& b) {
                       return std::min(a.tokens, even) < std::min(b.tokens, even);
                     });
    for (Tenant& tenant : tenants) {
      const int64_t part = std::min({share(), tokens, tenant.tokens});
      share_among_prompts(tenant, part, prompts, shares);
      tokens -= part;
      --waiting;
    }
  }
  return shares;
}

}  // namespace starling

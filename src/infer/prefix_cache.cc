#include "infer/prefix_cache.h"

#include <iterator>

#include "core/hash.h"

namespace starling {
namespace {

std::string next_name(const std::string& name, std::span<const TokenId> tokens, int64_t page) {
  const std::span<const TokenId> own = tokens.subspan(page * kPagePositions, kPagePositions);
  return sha256_hex(name + std::string(reinterpret_cast<const char*>(own.data()), own.size_bytes()));
}

}  // namespace

PrefixCache::Chain PrefixCache::begin(std::string_view salt) const { return {0, sha256_hex(salt), clears_}; }

void PrefixCache::restore(Chain& chain, KvCache& cache, std::span<const TokenId> tokens) {
  while ((chain.pages + 1) * kPagePositions <= static_cast<int64_t>(tokens.size())) {
    std::string name = next_name(chain.name, tokens, chain.pages);
    const auto found = by_name_.find(name);
    if (found == by_name_.end()) return;
    entries_.splice(entries_.begin(), entries_, found->second);
    cache.append_full(found->second->page);
    chain = {chain.pages + 1, std::move(name), chain.clears};
  }
}

void PrefixCache::store(Chain& chain, KvCache& cache, std::span<const TokenId> tokens) {
  if (chain.clears != clears_) return;
  while ((chain.pages + 1) * kPagePositions <= cache.length) {
    std::string name = next_name(chain.name, tokens, chain.pages);
    if (const auto known = by_name_.find(name); known != by_name_.end()) {
      cache.replace(chain.pages, known->second->page);
    } else {
      entries_.push_front({name, chain.name, cache.page(chain.pages)});
      by_name_[name] = entries_.begin();
      if (const auto parent = by_name_.find(chain.name); parent != by_name_.end()) ++parent->second->children;
    }
    chain = {chain.pages + 1, std::move(name), chain.clears};
  }
}

bool PrefixCache::evict() {
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (entry->children > 0 || entry->page.use_count() > 1) continue;
    if (const auto parent = by_name_.find(entry->parent); parent != by_name_.end()) --parent->second->children;
    by_name_.erase(entry->name);
    entries_.erase(std::next(entry).base());
    return true;
  }
  return false;
}

void PrefixCache::clear() {
  by_name_.clear();
  entries_.clear();
  ++clears_;
}

}  // namespace starling

// Pages of keys and values that a later sequence with the same beginning takes instead of computing them.
//
// A page's name is a link of a hash chain, name(0) = SHA-256(salt), name(i+1) = SHA-256(name(i), tokens of page i): it
// is found only behind the same tokens and under the same salt, so one tenant learns nothing of another's prompts, not
// even from the time an answer takes. Forgets the pages used longest ago, a chain's end before its beginning.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "infer/kv_cache.h"
#include "tokenizer/tokenizer.h"

namespace starling {

// Not thread-safe.
class PrefixCache {
 public:
  // How far along a sequence's tokens its pages are named.
  struct Chain {
    int64_t pages = 0;
    std::string name;
    uint64_t clears = 0;  // of the cache before it began
  };
  Chain begin(std::string_view salt) const;

  // Appends to `cache` (of chain.pages whole pages) the pages known for the tokens that follow.
  void restore(Chain& chain, KvCache& cache, std::span<const TokenId> tokens);
  // Remembers the pages of `cache` that became whole; tokens [cache.length or more] are those it was computed from.
  // Where one is known already, `cache` gives up its own for it. Of a chain that began before clear() it keeps nothing.
  void store(Chain& chain, KvCache& cache, std::span<const TokenId> tokens);
  // Forgets one page that no sequence holds; false when there is none.
  bool evict();
  void clear();
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }

 private:
  struct Entry {
    std::string name, parent;
    KvPagePool::Page page;
    int64_t children = 0;
  };
  uint64_t clears_ = 0;
  std::list<Entry> entries_;  // the latest used first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_name_;
};

}  // namespace starling

#include "infer/kv_cache.h"

namespace starling {

KvPagePool::Page KvPagePool::take() {
  {
    std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      Page page = std::move(free_.back());
      free_.pop_back();
      return page;
    }
  }
  return std::make_unique_for_overwrite<uint16_t[]>(static_cast<size_t>(layers_ * 2 * kPagePositions * kv_size_));
}

void KvPagePool::give_back(Page page) {
  std::lock_guard lock(mutex_);
  free_.push_back(std::move(page));
}

void KvCache::reserve(int64_t positions) {
  while (static_cast<int64_t>(pages_.size()) * kPagePositions < positions) pages_.push_back(pool_->take());
}

KvCache::~KvCache() {
  for (KvPagePool::Page& page : pages_) pool_->give_back(std::move(page));
}

}  // namespace starling

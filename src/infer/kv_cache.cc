#include "infer/kv_cache.h"

#include "core/error.h"

namespace starling {

KvPagePool::Page KvPagePool::take() {
  Memory memory;
  {
    std::lock_guard lock(mutex_);
    if (used_ == capacity_) throw Error("all pages of the cache of keys and values are in use");
    ++used_;
    if (!free_.empty()) {
      memory = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (!memory) memory = std::make_unique<uint16_t[]>(static_cast<size_t>(rows_offset(layers_, false, 0)));
  return {memory.release(), [this](uint16_t* page) { give_back(Memory(page)); }};
}

int64_t KvPagePool::available() const {
  std::lock_guard lock(mutex_);
  return capacity_ - used_;
}

void KvPagePool::give_back(Memory memory) {
  std::lock_guard lock(mutex_);
  --used_;
  free_.push_back(std::move(memory));
}

void KvCache::reserve(int64_t positions) {
  while (page_count() * kPagePositions < positions) pages_.push_back(pool_->take());
}

void KvCache::append_full(KvPagePool::Page page) {
  pages_.push_back(std::move(page));
  length += kPagePositions;
}

}  // namespace starling

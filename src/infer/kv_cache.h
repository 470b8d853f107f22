// Keys and values of sequences, f16, in pages of 16 positions that are taken from a pool as a sequence grows. A page
// whose positions are all written never changes, so several sequences and the prefix cache may hold it together.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "model/config.h"

namespace starling {

inline constexpr int64_t kPagePositions = 16;

inline int64_t pages_for(int64_t positions) { return (positions + kPagePositions - 1) / kPagePositions; }

// Pages of one model, kept for reuse. Thread-safe. Must outlive its pages.
class KvPagePool {
 public:
  using Page = std::shared_ptr<uint16_t[]>;  // [layer][key, value][kv_head][a head's, see KvCache]

  explicit KvPagePool(const ModelConfig& config, int64_t capacity = std::numeric_limits<int64_t>::max())
      : layers_(config.num_layers),
        kv_heads_(config.num_kv_heads),
        head_size_(config.head_size()),
        capacity_(capacity) {}
  Page take();                // throws Error when all pages are in use: ask available() first
  int64_t available() const;  // pages that take() can give now
  int64_t capacity() const { return capacity_; }
  // Of the rows of one layer and head, which lie together: they are read together.
  int64_t rows_offset(int64_t layer, bool values, int64_t kv_head) const {
    return ((2 * layer + (values ? 1 : 0)) * kv_heads_ + kv_head) * kPagePositions * head_size_;
  }

 private:
  using Memory = std::unique_ptr<uint16_t[]>;
  void give_back(Memory memory);

  int64_t layers_, kv_heads_, head_size_, capacity_, used_ = 0;
  mutable std::mutex mutex_;
  std::vector<Memory> free_;
};

class KvCache {
 public:
  explicit KvCache(KvPagePool& pool) : pool_(&pool) {}
  KvCache(KvCache&&) = default;
  KvCache(const KvCache&) = delete;

  void reserve(int64_t positions);  // pages for positions [0, positions)
  int64_t length = 0;               // positions that hold keys and values
  int64_t page_count() const { return static_cast<int64_t>(pages_.size()); }
  const KvPagePool::Page& page(int64_t index) const { return pages_[index]; }
  void append_full(KvPagePool::Page page);  // another sequence's; length is a multiple of kPagePositions

  // Of one head in one page, which is position / kPagePositions: keys [d][kPagePositions], as a query meets all keys of
  // a page at once; values [kPagePositions][d].
  uint16_t* keys(int64_t layer, int64_t kv_head, int64_t page) {
    return pages_[page].get() + pool_->rows_offset(layer, false, kv_head);
  }
  uint16_t* values(int64_t layer, int64_t kv_head, int64_t page) {
    return pages_[page].get() + pool_->rows_offset(layer, true, kv_head);
  }

 private:
  KvPagePool* pool_;
  std::vector<KvPagePool::Page> pages_;
};

}  // namespace starling

// Keys and values of one sequence, f16, in pages of 64 positions that are taken from a pool as the sequence grows.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "model/config.h"

namespace starling {

inline constexpr int64_t kPagePositions = 64;

// Pages of one model, kept for reuse. Thread-safe. Must outlive its caches.
class KvPagePool {
 public:
  using Page = std::unique_ptr<uint16_t[]>;  // [layer][key, value][position in page][kv_size]

  explicit KvPagePool(const ModelConfig& config) : layers_(config.num_layers), kv_size_(config.kv_size()) {}
  Page take();
  void give_back(Page page);
  int64_t layers() const { return layers_; }
  int64_t kv_size() const { return kv_size_; }

 private:
  int64_t layers_, kv_size_;
  std::mutex mutex_;
  std::vector<Page> free_;
};

class KvCache {
 public:
  explicit KvCache(KvPagePool& pool) : pool_(&pool) {}
  KvCache(KvCache&&) = default;
  KvCache(const KvCache&) = delete;
  ~KvCache();

  void reserve(int64_t positions);  // pages for positions [0, positions)
  int64_t length = 0;               // positions that hold keys and values

  // The rows of one page, [kPagePositions][kv_size]; `page` is position / kPagePositions.
  uint16_t* keys(int64_t layer, int64_t page) { return rows(2 * layer, page); }
  uint16_t* values(int64_t layer, int64_t page) { return rows(2 * layer + 1, page); }

 private:
  uint16_t* rows(int64_t plane, int64_t page) { return pages_[page].get() + plane * kPagePositions * pool_->kv_size(); }
  KvPagePool* pool_;
  std::vector<KvPagePool::Page> pages_;
};

}  // namespace starling

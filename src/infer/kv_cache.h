// Keys and values of sequences, in pages of 16 positions that are taken from a pool as a sequence grows. A page whose
// positions are all written never changes, so several sequences and the prefix cache may hold it together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/large_memory.h"
#include "model/config.h"

namespace starling {

inline constexpr int64_t kPagePositions = 16;

inline int64_t pages_for(int64_t positions) { return (positions + kPagePositions - 1) / kPagePositions; }

// Of keys and values in memory.
enum class CacheForm {
  f16,
  int8,  // x = scale * n, |n| <= 127, with an f32 scale a position and head, max |x| / 127: about half of f16's memory
};
CacheForm cache_form(const std::string& name);  // "f16", "int8"; else ConfigError

// The keys or the values of one head in one page. Keys lie [d][kPagePositions], as a query meets all keys of a page at
// once; values [kPagePositions][d].
struct HeadPage {
  std::byte* elements;  // f16 or int8
  float* scales;        // [kPagePositions]; null for f16
};

struct alignas(64) CacheLine {
  std::byte bytes[64];
};

// Pages of one model, kept for reuse. Thread-safe. Must outlive its pages.
class KvPagePool {
 public:
  using Page = std::shared_ptr<CacheLine[]>;  // [layer][key, value][kv_head][lines of a HeadPage: scales, elements]

  explicit KvPagePool(const ModelConfig& config, CacheForm form = CacheForm::f16,
                      int64_t capacity = std::numeric_limits<int64_t>::max());
  Page take();                // throws Error when all pages are in use: ask available() first
  int64_t available() const;  // pages that take() can give now
  int64_t capacity() const { return capacity_; }
  CacheForm form() const { return form_; }
  int64_t page_bytes() const { return page_lines_ * static_cast<int64_t>(sizeof(CacheLine)); }
  HeadPage head(const Page& page, int64_t layer, bool values, int64_t kv_head) const;

 private:
  void allocate();
  void give_back(CacheLine* page);

  CacheForm form_;
  int64_t kv_heads_, head_lines_, page_lines_, capacity_, used_ = 0;
  mutable std::mutex mutex_;
  // A sequence's pages are read a head after another, some KB of each: many at once lie in huge pages, whose places the
  // processor knows.
  std::vector<LargeArray<CacheLine>> slabs_;
  std::vector<CacheLine*> free_;
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
  void replace(int64_t index, KvPagePool::Page page) { pages_[index] = std::move(page); }  // by one of the same bits

  CacheForm form() const { return pool_->form(); }
  // `page` is position / kPagePositions.
  HeadPage keys(int64_t layer, int64_t kv_head, int64_t page) const {
    return pool_->head(pages_[page], layer, false, kv_head);
  }
  HeadPage values(int64_t layer, int64_t kv_head, int64_t page) const {
    return pool_->head(pages_[page], layer, true, kv_head);
  }

 private:
  KvPagePool* pool_;
  std::vector<KvPagePool::Page> pages_;
};

}  // namespace starling

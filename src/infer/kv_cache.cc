#include "infer/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace starling {
namespace {

constexpr int64_t kLine = sizeof(CacheLine);
constexpr int64_t kSlabBytes = int64_t{8} << 20;
constexpr int64_t kScaleLines = kPagePositions * static_cast<int64_t>(sizeof(float)) / kLine;

int64_t lines_of_head(const ModelConfig& config, CacheForm form) {
  const int64_t values = kPagePositions * config.head_size();
  if (form == CacheForm::f16) return (values * static_cast<int64_t>(sizeof(uint16_t)) + kLine - 1) / kLine;
  return kScaleLines + (values + kLine - 1) / kLine;
}

}  // namespace

CacheForm cache_form(const std::string& name) {
  if (name == "f16") return CacheForm::f16;
  if (name == "int8") return CacheForm::int8;
  throw ConfigError(fmt::format("`{}` is no form of keys and values; choose f16 or int8", name));
}

KvPagePool::KvPagePool(const ModelConfig& config, CacheForm form, int64_t capacity)
    : form_(form),
      kv_heads_(config.num_kv_heads),
      head_lines_(lines_of_head(config, form)),
      // One head more: pages at a multiple of a large power of two would meet in the same places of the caches.
      page_lines_((2 * config.num_layers * kv_heads_ + 1) * head_lines_),
      capacity_(capacity) {}

KvPagePool::Page KvPagePool::take() {
  std::lock_guard lock(mutex_);
  if (used_ == capacity_) throw Error("all pages of the cache of keys and values are in use");
  if (free_.empty()) allocate();
  CacheLine* page = free_.back();
  free_.pop_back();
  ++used_;
  return {page, [this](CacheLine* unused) { give_back(unused); }};
}

void KvPagePool::allocate() {
  const int64_t pages = std::clamp<int64_t>(kSlabBytes / page_bytes(), 1, capacity_ - used_);
  CacheLine* first = slabs_.emplace_back(allocate_large_array<CacheLine>(pages * page_lines_)).get();
  for (int64_t i = pages; i-- > 0;) free_.push_back(first + i * page_lines_);
}

HeadPage KvPagePool::head(const Page& page, int64_t layer, bool values, int64_t kv_head) const {
  std::byte* lines = page[((2 * layer + (values ? 1 : 0)) * kv_heads_ + kv_head) * head_lines_].bytes;
  if (form_ == CacheForm::f16) return {lines, nullptr};
  return {lines + kScaleLines * kLine, reinterpret_cast<float*>(lines)};
}

int64_t KvPagePool::available() const {
  std::lock_guard lock(mutex_);
  return capacity_ - used_;
}

void KvPagePool::give_back(CacheLine* page) {
  std::lock_guard lock(mutex_);
  --used_;
  free_.push_back(page);
}

void KvCache::reserve(int64_t positions) {
  while (page_count() * kPagePositions < positions) pages_.push_back(pool_->take());
}

void KvCache::append_full(KvPagePool::Page page) {
  pages_.push_back(std::move(page));
  length += kPagePositions;
}

}  // namespace starling

#include "infer/kv_cache.h"

#include <fmt/format.h>

#include "core/error.h"

namespace starling {
namespace {

constexpr int64_t kLine = sizeof(CacheLine);
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
      page_lines_(2 * config.num_layers * kv_heads_ * head_lines_),
      capacity_(capacity) {}

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
  if (!memory) memory = std::make_unique<CacheLine[]>(static_cast<size_t>(page_lines_));
  return {memory.release(), [this](CacheLine* page) { give_back(Memory(page)); }};
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

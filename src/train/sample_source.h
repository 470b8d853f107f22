// Where samples come from: shards, or a list in a test.
#pragma once

#include <cstdint>
#include <functional>

#include "posts/shards.h"

namespace starling {

struct SampleSource {
  uint64_t count = 0;
  std::function<Sample(uint64_t index)> read;
  std::function<bool(const Sample&)> is_masked;  // deleted or opted out since the shards were written; empty: none is
};

inline SampleSource source_of(const ShardReader& shards, std::function<bool(const Sample&)> is_masked = {}) {
  return {shards.sample_count(), [&shards](uint64_t index) { return shards.sample(index); }, std::move(is_masked)};
}

}  // namespace starling

// Where samples come from: shards, or a list in a test.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "core/workspace.h"
#include "posts/shards.h"

namespace starling {

class ControlDb;

struct SampleSource {
  uint64_t count = 0;
  std::function<Sample(uint64_t index)> read;
  std::function<bool(const Sample&)> is_masked;  // deleted or opted out since the shards were written; empty: none is
};

inline SampleSource source_of(const ShardReader& shards, std::function<bool(const Sample&)> is_masked = {}) {
  return {shards.sample_count(), [&shards](uint64_t index) { return shards.sample(index); }, std::move(is_masked)};
}

// Is the post not deleted, and did its author not opt out of training? Either id may be empty.
bool may_learn(const ControlDb& control, const std::string& post_id, const std::string& author);
// What may not be learned: looked up for every sample, so that a deletion during training counts at once.
std::function<bool(const Sample&)> mask_of(const std::shared_ptr<ControlDb>& db);

// Throws DataError unless the shards were made with the workspace's tokenizer; IoError when it has none.
void require_tokenizer_of(const ShardReader& shards, const Workspace& workspace);

// The newest `newest` samples of the shards; all when it is 0.
SampleSource newest_of(SampleSource source, uint64_t newest);
// `wanted` samples, evenly spaced; all when it is 0.
SampleSource spread_of(SampleSource source, uint64_t wanted);
// The same posts in a model's tokens: their text, decoded by `from` and encoded by `to`, which live on, and `end`.
SampleSource retokenized(SampleSource source, const Tokenizer& from, const Tokenizer& to, TokenId end);

}  // namespace starling

// Token shards: memory-mapped samples for training. A sample is one post (or one mail): its tokens end with
// <|endofpost|>.
//   shards/<split>-NNNNN.tokens   u16 or u32 tokens, samples back to back      (split: train, valid)
//   shards/<split>-NNNNN.samples  per sample: u64 token offset, u32 tokens, u32 bytes of text, u64 time, u64 id offset,
//   u32 id length, u32 author length shards/<split>-NNNNN.ids      post id and author of every sample, back to back
//   shards/manifest.json          counts, tokenizer digest, SHA-256 of each file
// docs/formats/shards.md gives offsets and byte order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace starling {

struct Sample {
  std::vector<TokenId> tokens;  // with the closing <|endofpost|>
  uint32_t text_bytes = 0;      // bytes of the cleaned text, the unit of bits per byte
  int64_t time_s = 0;
  std::string_view post_id, author;
};

class ShardReader {
 public:
  // split: "train" or "valid". Throws IoError when missing (naming `starling prepare`), DataError when damaged.
  ShardReader(const std::filesystem::path& shards_folder, const std::string& split);
  ~ShardReader();
  uint64_t sample_count() const;
  uint64_t token_count() const;
  uint64_t text_bytes() const;
  Sample sample(uint64_t index) const;  // in the order of the posts' time
  std::string tokenizer_sha256() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace starling

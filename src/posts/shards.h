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

// Writes the shards of all splits and, last, the manifest: a folder without a manifest is not a set of shards.
// Files go to `shards_folder`, which must exist. Not thread-safe. Throws IoError; DataError for a token outside the
// vocabulary.
class ShardWriter {
 public:
  struct Options {
    int64_t vocab_size = 0;               // up to 65,536 tokens take 2 bytes each, else 4
    std::string tokenizer_sha256;         // of tokenizer.json
    uint64_t max_shard_tokens = 1 << 28;  // a shard ends with the sample that reaches it
  };
  ShardWriter(std::filesystem::path shards_folder, Options options);
  ~ShardWriter();
  void add(const std::string& split, const Sample& sample);  // samples of a split in the order of their time
  void finish();                                             // durable when it returns

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Reads one split through memory maps. Opening checks the manifest, every file's size and SHA-256, and the sample
// table, so a truncated or changed shard is found before a token is used. sample() is thread-safe.
class ShardReader {
 public:
  // split: "train" or "valid". Throws IoError when missing (naming `starling prepare`), DataError when damaged (naming
  // the file). A split without samples has sample_count() 0.
  ShardReader(const std::filesystem::path& shards_folder, const std::string& split);
  ~ShardReader();
  uint64_t sample_count() const;
  uint64_t token_count() const;
  uint64_t text_bytes() const;
  Sample sample(uint64_t index) const;                // in the order of the posts' time
  const std::string& shard_of(uint64_t index) const;  // "train-00003"
  int64_t vocab_size() const;
  std::string tokenizer_sha256() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace starling

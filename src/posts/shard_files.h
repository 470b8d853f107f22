// The files of one shard, as the manifest lists them, and the rows of a `.samples` file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace starling {

// 40 bytes, little-endian, no padding.
struct SampleRow {
  uint64_t token_offset;  // in tokens, from the start of the shard
  uint32_t tokens, text_bytes;
  int64_t time_s;
  uint64_t id_offset;  // in bytes of the `.ids` file: the post id, then the author
  uint32_t id_bytes, author_bytes;
};
static_assert(sizeof(SampleRow) == 40);

inline constexpr const char* kShardExtensions[] = {"tokens", "samples", "ids"};

struct ShardFile {
  uint64_t bytes = 0;
  std::string sha256;
};

struct ShardEntry {
  std::string name;  // "train-00000"
  uint64_t samples = 0, tokens = 0, text_bytes = 0;
  std::map<std::string, ShardFile> files;  // by extension
};

struct ShardManifest {
  int64_t vocab_size = 0;
  int token_bytes = 2;
  std::string tokenizer_sha256;
  std::map<std::string, std::vector<ShardEntry>> splits;
};

void write_manifest(const std::filesystem::path& folder, const ShardManifest& manifest);
// Throws IoError when missing, DataError when damaged: the manifest carries a SHA-256 of itself.
ShardManifest read_manifest(const std::filesystem::path& folder);

}  // namespace starling

// Reads foreign files into the post store. Idempotent: a post whose id is known is not stored again. Resumable: what a
// stopped or killed run has committed stays, and the same command goes on with the rest.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/config.h"
#include "posts/post_store.h"
#include "posts/row_reader.h"

namespace starling {

struct IngestOptions {
  RowOptions rows;
  std::string include = "*";                    // shell pattern on file names, for folders
  size_t segment_posts = 50'000;                // posts in memory before a segment is committed
  size_t segment_bytes = 32 << 20;              // or bytes of text
  std::function<bool(const Post&)> is_deleted;  // a tombstoned post stays out
  // A row that cannot be read stays out of the quarantine when one of its possible ids is of a deletion.
  std::function<bool(const std::vector<std::string>& ids)> names_deleted;
  // The source says that a post or an author is gone: make the tombstone. Without it such rows are left out.
  std::function<void(const std::string& kind, const std::string& id)> on_deletion;
  std::function<void(uint64_t bytes, uint64_t rows, uint64_t bad)> progress;  // stored bytes consumed of all files
};

struct IngestReport {
  uint64_t files = 0, rows = 0;
  uint64_t added = 0, known = 0, deleted = 0, bad = 0;
  uint64_t other = 0;                     // likes, boosts, messages to a few: nothing to store
  uint64_t deletions = 0;                 // of the source; rows = the sum of these six
  uint64_t without_time = 0;              // of the rows that could be read
  std::vector<std::string> problems;      // the first kMaxProblems bad rows: "file:line: reason"
  std::vector<std::string> failed_files;  // "file: reason" of files that could not be read to their end
  bool interrupted = false;
  static constexpr size_t kMaxProblems = 20;
};

// Files of `sources` in a fixed order: folders recursively, by name; "-" is standard input, kafka://... a queue. Hidden
// files are left out.
// Throws IoError for a source that does not exist.
std::vector<std::filesystem::path> list_sources(const std::vector<std::string>& sources, const std::string& include);

// Bad rows go to `quarantine.jsonl` in the store's folder. Throws IoError when the store cannot be written.
IngestReport ingest(PostStore& store, const std::filesystem::path& posts_folder,
                    const std::vector<std::filesystem::path>& files, const IngestOptions& options);

// The settings `ingest.*` and `prepare.*`.
std::vector<ConfigKey> posts_config_keys();

}  // namespace starling

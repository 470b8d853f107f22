// One file of raw posts: JSON lines, compressed (`*.jsonl.zst`, zstd with content checksum) or plain (`live.jsonl`).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "posts/byte_stream.h"
#include "posts/post.h"

namespace starling {

bool is_segment(const std::filesystem::path& path);  // by its name; the journal is none

// Lines of a file, not yet parsed: reading is one thread's work, parsing that of many.
struct SegmentLines {
  struct Line {
    size_t begin, size;
    uint64_t number;  // in the file, from 1
  };
  std::filesystem::path file;
  std::string bytes;
  std::vector<Line> lines;

  Post post(size_t i) const;  // throws DataError with file and line
};

// Reads a segment in batches of lines. Throws DataError when it is damaged. In a plain file a last line without a line
// end is a write that has not finished and is left out.
class SegmentReader {
 public:
  explicit SegmentReader(const std::filesystem::path& path);
  bool next(SegmentLines& batch, size_t max_lines, size_t max_bytes);  // false at the end

 private:
  std::filesystem::path path_;
  std::unique_ptr<ByteStream> stream_;
  LineReader lines_;
};

// Calls visit(post) for every post of the file; false ends the walk and is returned. Throws DataError with file and
// line.
bool read_segment(const std::filesystem::path& path, const std::function<bool(const Post&)>& visit);

// Writes a compressed segment atomically. `next` returns the next post or nullptr at the end.
void write_segment(const std::filesystem::path& path, const std::function<const Post*()>& next);

uint64_t hash_id(const std::string& id);  // of a post or an author, as the `.ids` files keep it

// Whose posts a segment holds, so that a question about an id reads no posts.
struct SegmentIds {
  std::vector<uint64_t> posts;    // hashes in the segment's order
  std::vector<uint64_t> authors;  // each once, sorted
  void add(const Post& post);
  void finish();  // after the last post
};

// From the segment's `.ids` file, or from the segment when that is missing, damaged or of another version of the
// segment; `repair` then writes it.
SegmentIds segment_ids(const std::filesystem::path& segment, bool repair);
void write_segment_ids(const std::filesystem::path& segment, const SegmentIds& ids);

}  // namespace starling

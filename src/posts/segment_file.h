// One file of raw posts: JSON lines, compressed (`*.jsonl.zst`, zstd with content checksum) or plain (`live.jsonl`).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "posts/post.h"

namespace starling {

// Calls visit(post) for every post of the file; false ends the walk and is returned. In a plain file a last line
// without a line end is a write that has not finished and is left out. Throws DataError with file and line.
bool read_segment(const std::filesystem::path& path, const std::function<bool(const Post&)>& visit);

// Writes a compressed segment atomically. `next` returns the next post or nullptr at the end.
void write_segment(const std::filesystem::path& path, const std::function<const Post*()>& next);

// 64-bit hash of a post id, as kept in the `.ids` files.
uint64_t hash_post_id(const std::string& id);

// The id hashes of a segment, from its `.ids` file, or from the segment when that is missing, damaged or of another
// version of the segment; `repair` then writes it.
std::vector<uint64_t> segment_id_hashes(const std::filesystem::path& segment, bool repair);
void write_id_hashes(const std::filesystem::path& segment, const std::vector<uint64_t>& hashes);

}  // namespace starling

// Bringing the index in line with the post store and the control database. Each step can be stopped and done again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "posts/post_store.h"
#include "search/post_index.h"
#include "search/vector_index.h"
#include "store/control_db.h"

namespace starling {

class Engine;

// Holds index/.lock: one process writes the index. Throws IoError naming the holder.
class FileLock;
std::unique_ptr<FileLock> lock_index(const std::filesystem::path& index_folder);

// Adds the posts that the index lacks and that are not deleted, committing as it goes and showing how far it is; false
// when stop was requested. A segment whose posts are all in the index is not read again: it only ever loses posts.
bool index_missing_posts(PostIndexWriter& writer, const PostStore& posts, const ControlDb& control);

// Removes the posts whose tombstones the index does not obey yet; returns their docids.
std::vector<DocId> remove_deleted_posts(PostIndexWriter& writer, const ControlDb& control);

// Erases the vectors of posts that the index does not hold: a crash came between the two, or who removed the posts
// could not open the vectors.
void erase_vectors_without_posts(const PostIndexReader& reader, VectorIndex& vectors);

// Embeds up to `limit` posts that have no vector yet; returns how many it found, those included that were deleted
// meanwhile: when fewer than `limit`, none is left.
uint64_t embed_missing_posts(const PostIndexReader& reader, VectorIndex& vectors, Engine& embedder, uint64_t limit);

// A post as the index holds and shows it: with HTML character references decoded once, and with its language, detected
// where it does not say one.
Post indexed_post(Post post);

// What is embedded of a post or a query: its own text without quoted lines, signature and URLs, case-folded, cut at
// kMaxEmbeddedBytes. A space stands before every word, the first too, so that a word has the same tokens anywhere.
inline constexpr size_t kMaxEmbeddedBytes = 1000;
std::string embedded_text(std::string_view text);

}  // namespace starling

#include "search/index_sync.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "core/file.h"
#include "core/progress.h"
#include "core/stop.h"
#include "infer/engine.h"
#include "posts/language.h"
#include "posts/segment_file.h"
#include "posts/text_clean.h"
#include "search/words.h"

namespace starling {
namespace {

// Xapian keeps uncommitted postings in memory, and at 10,000 posts it commits by itself, past the lock that keeps
// commits from a read.
constexpr uint64_t kPostsPerCommit = 9000;
constexpr uint64_t kProgressEvery = 500;
constexpr const char* kSegmentsKey = "segments";      // names of the segments whose posts are all in the index
constexpr const char* kTombstonesKey = "tombstones";  // ControlDb::tombstone_version() that the index obeys

bool holds_line(const std::string& lines, const std::string& line) {
  const std::string whole = line + "\n";
  return lines.starts_with(whole) || lines.find("\n" + whole) != std::string::npos;
}

}  // namespace

std::unique_ptr<FileLock> lock_index(const std::filesystem::path& index_folder) {
  std::filesystem::create_directories(index_folder);
  return std::make_unique<FileLock>(index_folder / ".lock", "write the search index");
}

bool index_missing_posts(PostIndexWriter& writer, const PostStore& posts, const ControlDb& control) {
  std::string indexed = writer.metadata(kSegmentsKey);  // names, each with a line end
  std::vector<std::filesystem::path> files = posts.files();
  std::erase_if(files, [&](const std::filesystem::path& file) { return holds_line(indexed, file.filename()); });
  uint64_t total = 0, seen = 0, uncommitted = 0;
  for (const std::filesystem::path& file : files)
    if (is_segment(file)) total += segment_ids(file, false).posts.size();
  Progress progress("index", total, "posts");
  const auto add_missing = [&](const Post& post) {
    if (++seen % kProgressEvery == 0) progress.update(seen);
    if (!control.is_deleted(post.id, post.author) && !writer.contains(post.id)) {
      writer.put(indexed_post(post));
      if (++uncommitted % kPostsPerCommit == 0) writer.commit();
    }
    return !stop_requested();
  };
  bool whole = true;
  for (const std::filesystem::path& file : files) {
    whole = read_segment(file, add_missing);
    if (!whole) break;
    if (!is_segment(file)) continue;
    indexed += file.filename().string() + "\n";
    writer.set_metadata(kSegmentsKey, indexed);
  }
  writer.commit();
  return whole;
}

std::vector<DocId> remove_deleted_posts(PostIndexWriter& writer, const ControlDb& control) {
  const uint64_t version = control.tombstone_version();
  uint64_t obeyed = std::strtoull(writer.metadata(kTombstonesKey).c_str(), nullptr, 10);
  if (obeyed == version) return {};
  if (obeyed > version) obeyed = 0;  // of another control database
  std::vector<DocId> removed;
  for (const Tombstone& tombstone : control.tombstones(obeyed)) {
    if (tombstone.kind == "author") {
      const std::vector<DocId> docids = writer.remove_author(tombstone.id);
      removed.insert(removed.end(), docids.begin(), docids.end());
    } else if (const std::optional<DocId> docid = writer.remove_post(tombstone.id)) {
      removed.push_back(*docid);
    }
  }
  writer.set_metadata(kTombstonesKey, std::to_string(version));
  if (removed.empty()) return removed;
  writer.commit();
  return removed;
}

void erase_vectors_without_posts(const PostIndexReader& reader, VectorIndex& vectors) {
  const std::vector<DocId> rows = vectors.docids(), posts = reader.docids_after(0, SIZE_MAX);
  std::vector<DocId> gone;
  std::set_difference(rows.begin(), rows.end(), posts.begin(), posts.end(), std::back_inserter(gone));
  vectors.erase(gone);
}

uint64_t embed_missing_posts(const PostIndexReader& reader, VectorIndex& vectors, Engine& embedder, uint64_t limit) {
  const std::vector<DocId> missing = reader.docids_after(vectors.last_docid(), limit);
  std::vector<DocId> docids;
  std::vector<std::string> texts;
  for (const DocId docid : missing) {
    const std::optional<Post> post = reader.post(docid);
    if (!post) continue;  // deleted between the two reads
    docids.push_back(docid);
    texts.push_back(embedded_text(post->text));
  }
  if (docids.empty()) return missing.size();
  vectors.append(docids, embedder.embed_batch(texts));
  std::vector<DocId> gone;  // deleted while the model was at work
  for (const DocId docid : docids)
    if (!reader.summary(docid)) gone.push_back(docid);
  vectors.erase(gone);
  return missing.size();
}

Post indexed_post(Post post) {
  post.text = decode_html_entities(post.text);
  if (post.language.empty()) post.language = detect_language(post.text);
  return post;
}

std::string embedded_text(std::string_view post_text) {
  const std::string text = fold(strip_quoted_text(post_text));  // a list's footer would make all of its posts alike
  std::string out;
  for (size_t begin = 0; begin < text.size() && out.size() < kMaxEmbeddedBytes;) {
    const size_t end = std::min(text.find_first_of(" \t\r\n", begin), text.size());
    const std::string_view token = std::string_view(text).substr(begin, end - begin);
    if (!token.empty() && !token.starts_with("http://") && !token.starts_with("https://")) {
      out += ' ';
      out += token;
    }
    begin = end + 1;
  }
  if (out.size() <= kMaxEmbeddedBytes) return out;
  size_t size = kMaxEmbeddedBytes;
  while (size > 0 && (static_cast<unsigned char>(out[size]) & 0xc0) == 0x80) --size;
  return out.substr(0, size);
}

}  // namespace starling

#include "posts/segment_file.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

constexpr int kCompressionLevel = 3;
constexpr size_t kMaxLineBytes = 64 << 20;          // of our own files; ingest bounds what it lets in far below
constexpr uint64_t kIdsMagic = 0x3230534449525453;  // "STRIDS02" in little-endian bytes

// `.ids`: magic, size of the segment file, XXH3 of the hashes, number of posts; the posts' hashes, then the authors';
// each u64 little-endian.
struct IdsHeader {
  uint64_t magic, segment_bytes, checksum, posts;
};

fs::path ids_path(const fs::path& segment) {
  fs::path path = segment;
  return path.replace_extension().replace_extension(".ids");  // 000001.jsonl.zst -> 000001.ids
}

bool read_segment_ids(const fs::path& segment, SegmentIds& ids) {
  const fs::path path = ids_path(segment);
  if (!fs::exists(path)) return false;
  const std::string bytes = read_file(path);
  IdsHeader header{};
  if (bytes.size() < sizeof header || (bytes.size() - sizeof header) % sizeof(uint64_t) != 0) return false;
  std::memcpy(&header, bytes.data(), sizeof header);
  const std::string_view hashes = std::string_view(bytes).substr(sizeof header);
  const uint64_t count = hashes.size() / sizeof(uint64_t);
  if (header.magic != kIdsMagic || header.segment_bytes != fs::file_size(segment) || header.posts > count ||
      header.checksum != hash64(hashes))
    return false;
  ids.posts.resize(header.posts);
  ids.authors.resize(count - header.posts);
  hashes.copy(reinterpret_cast<char*>(ids.posts.data()), header.posts * sizeof(uint64_t));
  hashes.copy(reinterpret_cast<char*>(ids.authors.data()), ids.authors.size() * sizeof(uint64_t),
              header.posts * sizeof(uint64_t));
  return true;
}

using Compressor = std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)>;

void compress(ZSTD_CCtx* context, std::string_view text, ZSTD_EndDirective end, const AppendBytes& append) {
  char block[1 << 16];
  ZSTD_inBuffer input{text.data(), text.size(), 0};
  for (bool more = true; more;) {
    ZSTD_outBuffer output{block, sizeof block, 0};
    const size_t left = ZSTD_compressStream2(context, &output, &input, end);
    if (ZSTD_isError(left)) throw IoError(fmt::format("zstd: {}", ZSTD_getErrorName(left)));
    append(block, output.pos);
    more = end == ZSTD_e_end ? left != 0 : input.pos < input.size;
  }
}

}  // namespace

bool is_segment(const fs::path& path) { return path.filename().string().ends_with(".jsonl.zst"); }

Post SegmentLines::post(size_t i) const {
  try {
    return post_from_json(std::string_view(bytes).substr(lines[i].begin, lines[i].size));
  } catch (const DataError& error) {
    throw DataError(
        fmt::format("{}:{}: {}; restore the file or remove the line", file.string(), lines[i].number, error.what()));
  }
}

SegmentReader::SegmentReader(const fs::path& path)
    : path_(path), stream_(ByteStream::open(path)), lines_(*stream_, kMaxLineBytes) {
  if (path.extension() == ".zst" && !stream_->is_compressed())
    throw DataError(path.string() + ": not a zstd file; the segment is damaged, restore it or ingest its posts again");
}

bool SegmentReader::next(SegmentLines& batch, size_t max_lines, size_t max_bytes) {
  batch.file = path_;
  batch.bytes.clear();
  batch.lines.clear();
  LineReader::Line line;
  while (batch.lines.size() < max_lines && batch.bytes.size() < max_bytes && lines_.next(line) && line.complete) {
    batch.lines.push_back({batch.bytes.size(), line.text.size(), line.number});
    batch.bytes += line.text;
  }
  return !batch.lines.empty();
}

bool read_segment(const fs::path& path, const std::function<bool(const Post&)>& visit) {
  SegmentReader reader(path);
  for (SegmentLines batch; reader.next(batch, 1024, 1 << 20);)
    for (size_t i = 0; i < batch.lines.size(); ++i)
      if (!visit(batch.post(i))) return false;
  return true;
}

void write_segment(const fs::path& path, const std::function<const Post*()>& next) {
  const Compressor context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kCompressionLevel);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  write_file_atomic(path, [&](const AppendBytes& append) {
    while (const Post* post = next()) compress(context.get(), to_json_line(*post) + "\n", ZSTD_e_continue, append);
    compress(context.get(), {}, ZSTD_e_end, append);
  });
}

uint64_t hash_id(const std::string& id) { return hash64(id); }

void SegmentIds::add(const Post& post) {
  posts.push_back(hash_id(post.id));
  if (!post.author.empty()) authors.push_back(hash_id(post.author));
}

void SegmentIds::finish() {
  std::sort(authors.begin(), authors.end());
  authors.erase(std::unique(authors.begin(), authors.end()), authors.end());
}

SegmentIds segment_ids(const fs::path& segment, bool repair) {
  SegmentIds ids;
  if (read_segment_ids(segment, ids)) return ids;
  read_segment(segment, [&](const Post& post) {
    ids.add(post);
    return true;
  });
  ids.finish();
  if (repair) write_segment_ids(segment, ids);
  return ids;
}

void write_segment_ids(const fs::path& segment, const SegmentIds& ids) {
  std::vector<uint64_t> hashes = ids.posts;
  hashes.insert(hashes.end(), ids.authors.begin(), ids.authors.end());
  const std::string_view bytes(reinterpret_cast<const char*>(hashes.data()), hashes.size() * sizeof(uint64_t));
  const IdsHeader header{kIdsMagic, fs::file_size(segment), hash64(bytes), ids.posts.size()};
  write_file_atomic(ids_path(segment), [&](const AppendBytes& append) {
    append(&header, sizeof header);
    append(bytes.data(), bytes.size());
  });
}

}  // namespace starling

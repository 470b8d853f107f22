#include "posts/post_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <unordered_set>

#include "core/error.h"
#include "core/file.h"
#include "posts/segment_file.h"

namespace starling {
namespace fs = std::filesystem;

struct PostStore::State {
  explicit State(fs::path where) : folder(std::move(where)) {}

  fs::path journal_path() const { return folder / "live.jsonl"; }
  std::vector<fs::path> segments() const;
  std::unordered_set<uint64_t>& known_ids();
  void prepare_to_write();
  void stop_writing();
  void remove_unfinished_files() const;
  void cut_torn_line() const;
  uint64_t purge_segment(const fs::path& path, const std::function<bool(const Post&)>& deleted) const;
  uint64_t purge_journal(const std::function<bool(const Post&)>& deleted);

  fs::path folder;
  mutable std::mutex mutex;
  std::optional<std::unordered_set<uint64_t>> known;  // read at the first question
  std::unique_ptr<FileLock> lock;
  bool appended = false;  // then the lock is kept
  int holders = 0;        // of with_lock()
  std::unique_ptr<AppendFile> journal;
  bool journal_failed = false;
};

namespace {

bool is_segment(const fs::path& path) { return path.filename().string().ends_with(".jsonl.zst"); }

std::string segment_name(uint64_t number) { return fmt::format("{:06}.jsonl.zst", number); }

// After the last number, which is not that of the last name: "1000000" sorts before "999999", and a copied file has
// none.
uint64_t next_segment_number(const std::vector<fs::path>& segments) {
  uint64_t last = 0;
  for (const fs::path& segment : segments)
    last = std::max<uint64_t>(last, std::strtoull(segment.filename().c_str(), nullptr, 10));
  return last + 1;
}

}  // namespace

std::vector<fs::path> PostStore::State::segments() const {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (is_segment(entry.path())) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

std::unordered_set<uint64_t>& PostStore::State::known_ids() {
  if (known) return *known;
  std::unordered_set<uint64_t> ids;
  for (const fs::path& segment : segments())
    for (const uint64_t hash : segment_id_hashes(segment, lock != nullptr)) ids.insert(hash);
  if (fs::exists(journal_path()))
    read_segment(journal_path(), [&](const Post& post) {
      ids.insert(hash_post_id(post.id));
      return true;
    });
  return known.emplace(std::move(ids));
}

void PostStore::State::prepare_to_write() {
  if (journal_failed)
    throw IoError(fmt::format("{}: an earlier write failed; free disk space and start again", journal_path().string()));
  if (lock) return;
  lock = std::make_unique<FileLock>(folder / ".lock", "write posts");
  known.reset();  // another process may have written since it was read
  remove_unfinished_files();
  cut_torn_line();
  journal = std::make_unique<AppendFile>(journal_path());
}

void PostStore::State::stop_writing() {
  journal.reset();
  lock.reset();
}

// A kill while a file was written leaves its `.tmp`, whose posts no deletion would find.
void PostStore::State::remove_unfinished_files() const {
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".tmp" && !fs::remove(entry.path(), code) && code)
      throw IoError(fmt::format("{}: cannot be removed: {}", entry.path().string(), code.message()));
}

// A kill between write and line end leaves half a line; its post was never acknowledged.
void PostStore::State::cut_torn_line() const {
  if (!fs::exists(journal_path())) return;
  size_t whole = 0;
  {
    const MappedFile journal_bytes(journal_path());
    const size_t newline = journal_bytes.text().rfind('\n');
    whole = newline == std::string_view::npos ? 0 : newline + 1;
    if (whole == journal_bytes.text().size()) return;
  }
  fs::resize_file(journal_path(), whole);
  sync_path(journal_path());
}

uint64_t PostStore::State::purge_segment(const fs::path& path, const std::function<bool(const Post&)>& deleted) const {
  uint64_t removed = 0;
  std::vector<Post> kept;
  read_segment(path, [&](const Post& post) {
    if (deleted(post)) ++removed;
    else kept.push_back(post);
    return true;
  });
  if (removed == 0) return 0;
  size_t next = 0;
  write_segment(path, [&] { return next < kept.size() ? &kept[next++] : nullptr; });
  std::vector<uint64_t> hashes;
  for (const Post& post : kept) hashes.push_back(hash_post_id(post.id));
  write_id_hashes(path, hashes);
  return removed;
}

uint64_t PostStore::State::purge_journal(const std::function<bool(const Post&)>& deleted) {
  uint64_t removed = 0;
  std::string kept;
  read_segment(journal_path(), [&](const Post& post) {
    if (deleted(post)) ++removed;
    else kept += to_json_line(post) + "\n";
    return true;
  });
  if (removed == 0) return 0;
  write_file_atomic(journal_path(), kept);
  journal_failed = true;  // until the new file is open: what is appended to the old one is lost
  journal = std::make_unique<AppendFile>(journal_path());
  journal_failed = false;
  return removed;
}

PostStore::PostStore(fs::path folder) : state_(std::make_unique<State>(std::move(folder))) {
  std::error_code code;
  fs::create_directories(state_->folder, code);
  if (code) throw IoError(fmt::format("{}: cannot make the folder: {}", state_->folder.string(), code.message()));
}

PostStore::~PostStore() = default;

std::vector<fs::path> PostStore::files() const {
  std::vector<fs::path> found = state_->segments();
  if (fs::exists(state_->journal_path())) found.push_back(state_->journal_path());
  return found;
}

void PostStore::for_each(const std::function<bool(const Post&)>& visit) const {
  for (const fs::path& file : files())
    if (!read_segment(file, visit)) return;
}

uint64_t PostStore::size() const {
  std::lock_guard guard(state_->mutex);
  return state_->known_ids().size();
}

bool PostStore::contains(const std::string& id) const {
  std::lock_guard guard(state_->mutex);
  return state_->known_ids().contains(hash_post_id(id));
}

bool PostStore::append(const Post& post) {
  check_post(post);
  std::lock_guard guard(state_->mutex);
  state_->prepare_to_write();
  state_->appended = true;
  const uint64_t hash = hash_post_id(post.id);
  if (state_->known_ids().contains(hash)) return false;
  const uint64_t size_before = state_->journal->size();
  try {
    state_->journal->append(to_json_line(post) + "\n");
    state_->journal->sync();
  } catch (...) {
    // After a failed fsync nobody knows what the disk holds; a write that was undone leaves the journal as it was.
    state_->journal_failed = state_->journal->size() != size_before;
    throw;
  }
  state_->known_ids().insert(hash);
  return true;
}

uint64_t PostStore::append_segment(const std::vector<Post>& posts) {
  for (const Post& post : posts) check_post(post);
  std::lock_guard guard(state_->mutex);
  state_->prepare_to_write();
  state_->appended = true;
  std::unordered_set<uint64_t>& known = state_->known_ids();
  std::unordered_set<uint64_t> seen;
  std::vector<const Post*> fresh;
  std::vector<uint64_t> hashes;
  for (const Post& post : posts) {
    const uint64_t hash = hash_post_id(post.id);
    if (known.contains(hash) || !seen.insert(hash).second) continue;
    fresh.push_back(&post);
    hashes.push_back(hash);
  }
  if (fresh.empty()) return 0;
  const fs::path path = state_->folder / segment_name(next_segment_number(state_->segments()));
  size_t next = 0;
  write_segment(path, [&] { return next < fresh.size() ? fresh[next++] : nullptr; });
  known.merge(seen);
  write_id_hashes(path, hashes);
  return fresh.size();
}

uint64_t PostStore::purge(const std::function<bool(const Post&)>& deleted) {
  uint64_t removed = 0;
  with_lock([&] {
    std::lock_guard guard(state_->mutex);
    removed = state_->purge_journal(deleted);
    for (const fs::path& segment : state_->segments()) removed += state_->purge_segment(segment, deleted);
    state_->known.reset();
  });
  return removed;
}

void PostStore::with_lock(const std::function<void()>& work) {
  struct Holder {
    explicit Holder(State& held) : state(held) {
      std::lock_guard guard(state.mutex);
      state.prepare_to_write();
      ++state.holders;
    }
    ~Holder() {
      std::lock_guard guard(state.mutex);
      if (--state.holders == 0 && !state.appended) state.stop_writing();
    }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;
    State& state;
  };
  const Holder holder(*state_);
  work();
}

}  // namespace starling

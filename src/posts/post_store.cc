#include "posts/post_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <unordered_set>

#include "core/error.h"
#include "core/file.h"
#include "posts/json_text.h"
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
  bool journal_is_in_a_segment() const;
  void start_journal(std::string_view posts);
  void roll_journal();
  bool may_hold(const fs::path& segment, const DeletedIds& deleted) const;
  bool journal_may_hold(const DeletedIds& deleted) const;
  void purge_segment(const fs::path& path, const DeletedIds& deleted, std::vector<uint64_t>& removed) const;
  void purge_journal(const DeletedIds& deleted, std::vector<uint64_t>& removed);

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

// A deletion reads the journal, so it may not grow for ever.
constexpr uint64_t kMaxJournalBytes = 32 << 20;

std::string segment_name(uint64_t number) { return fmt::format("{:06}.jsonl.zst", number); }

uint64_t segment_number(const fs::path& segment) { return std::strtoull(segment.filename().c_str(), nullptr, 10); }

// The one of the largest number, which is not that of the last name: "1000000" sorts before "999999", and a copied file
// has none.
const fs::path* newest_segment(const std::vector<fs::path>& segments) {
  const auto newest = std::ranges::max_element(segments, {}, segment_number);
  return newest == segments.end() ? nullptr : &*newest;
}

fs::path next_segment(const fs::path& folder, const std::vector<fs::path>& segments) {
  const fs::path* newest = newest_segment(segments);
  return folder / segment_name(newest == nullptr ? 1 : segment_number(*newest) + 1);
}

void write_segment_with_ids(const fs::path& path, const std::vector<Post>& posts) {
  size_t next = 0;
  write_segment(path, [&] { return next < posts.size() ? &posts[next++] : nullptr; });
  SegmentIds ids;
  for (const Post& post : posts) ids.add(post);
  ids.finish();
  write_segment_ids(path, ids);
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
    for (const uint64_t hash : segment_ids(segment, lock != nullptr).posts) ids.insert(hash);
  if (fs::exists(journal_path()))
    read_segment(journal_path(), [&](const Post& post) {
      ids.insert(hash_id(post.id));
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
  if (journal_is_in_a_segment()) start_journal({});
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

// A kill or a full disk came between the two steps of roll_journal(): every post of the journal is in the newest
// segment. As a rule the first is not.
bool PostStore::State::journal_is_in_a_segment() const {
  const std::vector<fs::path> all = segments();
  const fs::path* newest = newest_segment(all);
  std::error_code code;
  const uintmax_t bytes = fs::file_size(journal_path(), code);
  if (newest == nullptr || code || bytes == 0) return false;
  const std::vector<uint64_t> ids = segment_ids(*newest, false).posts;
  const std::unordered_set<uint64_t> stored(ids.begin(), ids.end());
  return read_segment(journal_path(), [&](const Post& post) { return stored.contains(hash_id(post.id)); });
}

void PostStore::State::start_journal(std::string_view posts) {
  write_file_atomic(journal_path(), posts);
  journal_failed = true;  // until the new file is open: what is appended to the old one is lost
  journal = std::make_unique<AppendFile>(journal_path());
  journal_failed = false;
}

void PostStore::State::roll_journal() {
  if (!journal_is_in_a_segment()) {
    std::vector<Post> posts;
    read_segment(journal_path(), [&](const Post& post) {
      posts.push_back(post);
      return true;
    });
    write_segment_with_ids(next_segment(folder, segments()), posts);
  }
  start_journal({});
}

bool PostStore::State::may_hold(const fs::path& segment, const DeletedIds& deleted) const {
  const SegmentIds ids = segment_ids(segment, true);
  std::unordered_set<uint64_t> posts;
  for (const std::string& id : deleted.posts) posts.insert(hash_id(id));
  const auto is_post = [&](uint64_t hash) { return posts.contains(hash); };
  const auto is_author = [&](const std::string& id) {
    return std::binary_search(ids.authors.begin(), ids.authors.end(), hash_id(id));
  };
  return std::any_of(ids.posts.begin(), ids.posts.end(), is_post) ||
         std::any_of(deleted.authors.begin(), deleted.authors.end(), is_author);
}

// By the ids as its lines write them: without reading posts that are not of them.
bool PostStore::State::journal_may_hold(const DeletedIds& deleted) const {
  const MappedFile lines(journal_path());
  const auto stands = [&](const std::string& id) {
    std::string written;
    append_json_string(written, id);
    return lines.text().find(written) != std::string_view::npos;
  };
  return std::any_of(deleted.posts.begin(), deleted.posts.end(), stands) ||
         std::any_of(deleted.authors.begin(), deleted.authors.end(), stands);
}

void PostStore::State::purge_segment(const fs::path& path, const DeletedIds& deleted,
                                     std::vector<uint64_t>& removed) const {
  if (!may_hold(path, deleted)) return;
  const size_t before = removed.size();
  std::vector<Post> kept;
  read_segment(path, [&](const Post& post) {
    if (deleted.contains(post)) removed.push_back(hash_id(post.id));
    else kept.push_back(post);
    return true;
  });
  if (removed.size() > before) write_segment_with_ids(path, kept);
}

void PostStore::State::purge_journal(const DeletedIds& deleted, std::vector<uint64_t>& removed) {
  if (!journal_may_hold(deleted)) return;
  std::string kept;
  read_segment(journal_path(), [&](const Post& post) {
    if (deleted.contains(post)) removed.push_back(hash_id(post.id));
    else kept += to_json_line(post) + "\n";
    return true;
  });
  if (!removed.empty()) start_journal(kept);
}

PostStore::PostStore(fs::path folder) : state_(std::make_unique<State>(std::move(folder))) {
  std::error_code code;
  fs::create_directories(state_->folder, code);
  if (code) throw IoError(fmt::format("{}: cannot make the folder: {}", state_->folder.string(), code.message()));
}

PostStore::~PostStore() = default;

std::vector<fs::path> PostStore::files() const {
  std::vector<fs::path> found = state_->segments();
  if (fs::exists(state_->journal_path()) && !state_->journal_is_in_a_segment()) found.push_back(state_->journal_path());
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
  return state_->known_ids().contains(hash_id(id));
}

bool PostStore::append(const Post& post) {
  check_post(post);
  std::lock_guard guard(state_->mutex);
  state_->prepare_to_write();
  state_->appended = true;
  const uint64_t hash = hash_id(post.id);
  if (state_->known_ids().contains(hash)) return false;
  if (state_->journal->size() > kMaxJournalBytes) state_->roll_journal();
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

uint64_t PostStore::append_segment(std::vector<Post> posts) {
  for (const Post& post : posts) check_post(post);
  std::lock_guard guard(state_->mutex);
  state_->prepare_to_write();
  state_->appended = true;
  std::unordered_set<uint64_t>& known = state_->known_ids();
  std::unordered_set<uint64_t> seen;
  std::erase_if(posts, [&](const Post& post) {
    const uint64_t hash = hash_id(post.id);
    return known.contains(hash) || !seen.insert(hash).second;
  });
  if (posts.empty()) return 0;
  write_segment_with_ids(next_segment(state_->folder, state_->segments()), posts);
  known.merge(seen);
  return posts.size();
}

uint64_t PostStore::purge(const DeletedIds& deleted) {
  std::vector<uint64_t> removed;  // hashes of the posts
  with_lock([&] {
    std::lock_guard guard(state_->mutex);
    state_->purge_journal(deleted, removed);
    for (const fs::path& segment : state_->segments()) state_->purge_segment(segment, deleted, removed);
    if (state_->known)
      for (const uint64_t hash : removed) state_->known->erase(hash);
  });
  return removed.size();
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

#include "search/search_service.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "core/error.h"
#include "core/file.h"
#include "core/progress.h"
#include "core/stop.h"
#include "core/time.h"
#include "infer/engine.h"
#include "search/ask.h"
#include "search/index_sync.h"
#include "search/post_index.h"
#include "search/ranker.h"
#include "search/snippet.h"
#include "search/vector_index.h"
#include "search/words.h"

namespace starling {
namespace {

constexpr int kMaxLimit = 100, kMaxOffset = 1000;
constexpr uint64_t kEmbedBatch = 32;
constexpr size_t kFacetValues = 10;
constexpr uint64_t kFacetPosts = 20'000;

// Who may not be shown, for the time of one request. An author is asked for once; tombstones only while the index still
// holds posts that they name.
class LiveFilter {
 public:
  LiveFilter(const ControlDb& control, std::string purpose, bool check_tombstones)
      : control_(control),
        purpose_(std::move(purpose)),
        check_tombstones_(check_tombstones),
        check_opt_outs_(control.has_opt_outs(purpose_)) {}

  bool accepts(const std::string& post_id, const std::string& author) {
    if (check_tombstones_ && control_.is_deleted(post_id, author)) return false;
    if (!check_opt_outs_) return true;
    const auto [entry, fresh] = opted_out_.try_emplace(author, false);
    if (fresh && !author.empty()) entry->second = control_.has_opted_out(author, purpose_);
    return !entry->second;
  }
  // Empty where nobody is hidden.
  PostIndexReader::Accept accept() {
    if (!check_tombstones_ && !check_opt_outs_) return {};
    return [this](const std::string& post_id, const std::string& author) { return accepts(post_id, author); };
  }

 private:
  const ControlDb& control_;
  std::string purpose_;
  bool check_tombstones_, check_opt_outs_;
  std::unordered_map<std::string, bool> opted_out_;
};

// Whether the word at `begin` of a query is not wanted: "from:word", "@word", "-word".
bool is_value_or_excluded(std::string_view query, size_t begin) {
  if (begin == 0) return false;
  const char before = query[begin - 1];
  return before == ':' || before == '@' || (before == '-' && (begin == 1 || query[begin - 2] == ' '));
}

std::vector<std::pair<std::string, int64_t>> most_frequent(const MatchCounts::Counts& counts, size_t limit) {
  std::vector<std::pair<std::string, int64_t>> out;
  for (const auto& entry : counts)
    if (!entry.first.empty()) out.push_back(entry);
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  if (out.size() > limit) out.resize(limit);
  return out;
}

}  // namespace

struct SearchService::State {
  State(const Workspace& workspace, const Config& config, PostStore& posts, ControlDb& control, Engine* embedder)
      : index_folder(workspace.index()),
        settings(read_ranking_settings(config)),
        posts(posts),
        control(control),
        embedder(embedder) {}

  void open();
  void open_vectors();
  void embed_in_background();
  void remove_deleted(PostIndexWriter& index);
  void add(const std::vector<Post>& added);
  template <class Work>
  void with_vectors(const Work& work);
  LiveFilter live_filter(const std::string& purpose) const {
    return {control, purpose, !writer || applied_tombstones != control.tombstone_version()};
  }
  void count_facets(const Query& query, LiveFilter& live, SearchResult& result) const;
  std::string corrected(const std::string& text, const Query& query) const;

  std::filesystem::path index_folder;
  RankingSettings settings;
  PostStore& posts;
  ControlDb& control;
  Engine* embedder;

  // Posts that wait for the writer's turn together: one commit makes all of them durable and visible.
  struct Arrivals {
    std::vector<Post> posts;
    bool written = false;
    std::exception_ptr error;
  };
  std::mutex arrivals_mutex;  // taken inside write_mutex
  std::shared_ptr<Arrivals> arrivals = std::make_shared<Arrivals>();

  std::mutex write_mutex;
  std::unique_ptr<FileLock> lock;  // null: another process writes, this one only reads
  std::unique_ptr<PostIndexWriter> writer;
  std::unique_ptr<PostIndexReader> reader;
  std::unique_ptr<VectorIndex> vectors;  // null: no embedder, or vectors of another model
  std::atomic<uint64_t> applied_tombstones{UINT64_MAX};

  std::mutex embed_mutex;
  std::condition_variable embed_wake;
  bool embed_due = false;
  std::atomic<bool> stopping = false;
  std::thread embed_thread;
};

void SearchService::State::open() {
  try {
    lock = lock_index(index_folder);
    writer = std::make_unique<PostIndexWriter>(index_folder);
  } catch (const IoError& error) {
    spdlog::debug("{}; this process only reads the index", error.what());
    lock.reset();
  }
  if (writer) {
    writer->commit();
    remove_deleted(*writer);
    index_missing_posts(*writer, posts, control);
  }
  reader = std::make_unique<PostIndexReader>(index_folder, settings.bm25);
  if (embedder) open_vectors();
  if (writer) with_vectors([this](VectorIndex& rows) { erase_vectors_without_posts(*reader, rows); });
  if (writer && vectors) embed_thread = std::thread([this] { embed_in_background(); });
}

void SearchService::State::open_vectors() {
  const std::optional<VectorsHeader> header = read_vectors_header(index_folder);
  if (!header) return spdlog::warn("{}: no vectors yet; run `starling index` for vector search", index_folder.string());
  if (!same_embedder(*header, embedder->embed(kProbeText)))
    return spdlog::warn("{}: the vectors are of another model or training than {}; run `starling index`",
                        index_folder.string(), embedder->name());
  vectors =
      std::make_unique<VectorIndex>(index_folder, *header, writer ? VectorIndex::Mode::write : VectorIndex::Mode::read);
}

void SearchService::State::embed_in_background() {
  try {
    for (;;) {
      if (embed_missing_posts(*reader, *vectors, *embedder, kEmbedBatch) == kEmbedBatch && !stopping) continue;
      std::unique_lock lock(embed_mutex);
      embed_wake.wait(lock, [this] { return embed_due || stopping; });
      if (stopping) return;
      embed_due = false;
    }
  } catch (const std::exception& error) {
    spdlog::error("new posts get no vectors until the next start: {}", error.what());
  }
}

void SearchService::State::remove_deleted(PostIndexWriter& index) {
  const uint64_t version = control.tombstone_version();
  const std::vector<DocId> removed = remove_deleted_posts(index, control);
  if (!removed.empty()) with_vectors([&](VectorIndex& rows) { rows.erase(removed); });
  applied_tombstones = version;
}

// Calls work(VectorIndex&) when there are vectors. A process without the model that made them cannot search by them,
// but a deletion reaches them all the same. One that only reads may have some that another process has replaced.
template <class Work>
void SearchService::State::with_vectors(const Work& work) {
  if (vectors && writer) return work(*vectors);
  try {
    const std::optional<VectorsHeader> header = read_vectors_header(index_folder);
    if (!header) return;
    VectorIndex stored(index_folder, *header, VectorIndex::Mode::write);
    work(stored);
  } catch (const std::exception& error) {
    spdlog::warn("vectors of deleted posts may stay until `starling index` runs: {}", error.what());
  }
}

void SearchService::State::count_facets(const Query& query, LiveFilter& live, SearchResult& result) const {
  const MatchCounts counts = reader->count_matches(query, false, live.accept(), kFacetPosts);
  result.facet_posts = counts.posts;
  result.facets_complete = counts.complete;
  if (counts.posts == 0) return;
  MatchCounts::Counts days;
  for (const auto& [day_s, posts] : counts.days) days[format_day(day_s)] = posts;
  result.facets = {{"author", most_frequent(counts.authors, kFacetValues)},
                   {"community", most_frequent(counts.communities, kFacetValues)},
                   {"day", most_frequent(days, kFacetValues)},
                   {"hashtag", most_frequent(counts.hashtags, kFacetValues)},
                   {"language", most_frequent(counts.languages, kFacetValues)}};
}

std::string SearchService::State::corrected(const std::string& text, const Query& query) const {
  std::string out = text;
  bool changed = false;
  for (const std::string& word : query.wanted_words()) {
    const std::string better = reader->suggest(word);
    if (better.empty()) continue;
    const std::vector<Word> words = split_words(out);
    const auto at = std::find_if(words.begin(), words.end(), [&](const Word& candidate) {
      return candidate.text == word && !is_value_or_excluded(out, candidate.begin);
    });
    if (at == words.end()) continue;
    out.replace(at->begin, at->end - at->begin, better);
    changed = true;
  }
  return changed ? out : std::string{};
}

SearchService::SearchService(const Workspace& workspace, const Config& config, PostStore& posts, ControlDb& control,
                             Engine* embedder)
    : state_(std::make_unique<State>(workspace, config, posts, control, embedder)) {
  state_->open();
}

SearchService::~SearchService() {
  {
    const std::lock_guard lock(state_->embed_mutex);
    state_->stopping = true;
  }
  state_->embed_wake.notify_all();
  if (state_->embed_thread.joinable()) state_->embed_thread.join();
}

SearchResult SearchService::search(const SearchRequest& request) {
  const double start_s = monotonic_s();
  const Query query = parse_query(request.query);
  const int limit = std::clamp(request.limit, 1, kMaxLimit), offset = std::clamp(request.offset, 0, kMaxOffset);
  if (request.stage == SearchStage::vector && !state_->vectors)
    throw ConfigError("the vector stage needs vectors; run `starling index` with a model");
  if (state_->vectors && !state_->writer) state_->vectors->refresh();

  LiveFilter live = state_->live_filter("search");
  SearchResult result;
  const std::vector<std::string> wanted = query.wanted_words();
  const int depth = std::max(state_->settings.candidates, limit + offset);
  int skipped = 0;
  const Ranker ranker(*state_->reader, state_->vectors.get(), state_->embedder, state_->settings);
  const Ranking ranking = ranker.rank(query, request.stage, depth, live.accept());
  result.estimated_total = ranking.estimated_total;
  for (const RankedMatch& match : ranking.matches) {
    if (static_cast<int>(result.hits.size()) == limit) break;
    std::optional<Post> post = state_->reader->post(match.docid);
    if (!post || state_->control.is_deleted(post->id, post->author)) continue;
    if (skipped++ < offset) continue;
    std::string snippet = make_snippet(post->text, wanted);
    result.hits.push_back({std::move(*post), match.score, match.lexical_score, match.vector_score, std::move(snippet)});
  }
  if (request.facets) state_->count_facets(query, live, result);
  result.corrected_query = state_->corrected(request.query, query);
  result.took_ms = (monotonic_s() - start_s) * 1e3;
  return result;
}

AskAnswer SearchService::ask(const std::string& question, Engine* writer, const Service& service) {
  AskSources sources;
  sources.search = [this](const std::string& query) { return search({.query = query, .limit = kAskPosts}); };
  sources.document_frequency = [this](const std::string& word) { return state_->reader->document_frequency(word); };
  sources.is_live = [this](const Post& post) {
    return !state_->control.is_deleted(post.id, post.author) && !state_->control.has_opted_out(post.author, "search");
  };
  sources.total_posts = static_cast<int64_t>(state_->reader->size());
  return answer_question(question, sources, writer, service);
}

void SearchService::State::add(const std::vector<Post>& added) {
  bool put = false;
  for (const Post& post : added) {
    if (control.is_deleted(post.id, post.author)) continue;
    if (!writer) throw IoError("another process writes the search index; stop it to add posts here");
    writer->put(indexed_post(post));
    put = true;
  }
  if (put) writer->commit();
}

void SearchService::add(const Post& post) {
  std::shared_ptr<State::Arrivals> mine;
  {
    const std::lock_guard lock(state_->arrivals_mutex);
    mine = state_->arrivals;
    mine->posts.push_back(post);
  }
  {
    // Under the lock: a tombstone that comes later finds the post when hide_deleted() gets its turn.
    const std::lock_guard lock(state_->write_mutex);
    if (!mine->written) {
      {
        const std::lock_guard closing(state_->arrivals_mutex);
        state_->arrivals = std::make_shared<State::Arrivals>();
      }
      try {
        state_->add(mine->posts);
      } catch (...) {
        mine->error = std::current_exception();
      }
      mine->written = true;
    }
    if (mine->error) std::rethrow_exception(mine->error);
  }
  const std::lock_guard lock(state_->embed_mutex);
  state_->embed_due = true;
  state_->embed_wake.notify_all();
}

void SearchService::hide_deleted() {
  const std::lock_guard lock(state_->write_mutex);
  if (state_->applied_tombstones == state_->control.tombstone_version()) return;
  if (state_->writer) return state_->remove_deleted(*state_->writer);
  // Who wrote the index when this process opened it may be gone: then nobody else would do it.
  const uint64_t version = state_->control.tombstone_version();
  if (purge_index(state_->index_folder, state_->control)) state_->applied_tombstones = version;
}

SearchService::Audience SearchService::audience(const std::string& text) {
  const Query query = parse_query(text);
  LiveFilter live = state_->live_filter("ads");
  MatchCounts counts = state_->reader->count_matches(query, true, live.accept());
  counts.authors.erase("");
  Audience audience{.authors = static_cast<int64_t>(counts.authors.size()),
                    .posts = counts.posts,
                    .hashtags = most_frequent(counts.hashtags, kFacetValues),
                    .communities = most_frequent(counts.communities, kFacetValues),
                    .languages = most_frequent(counts.languages, kFacetValues)};
  return audience;
}

uint64_t SearchService::indexed_posts() const { return state_->reader->size(); }

namespace {

// Takes the vectors of deleted posts away and, with an embedder, makes those that are missing; returns how many there
// are then.
uint64_t update_vectors(const std::filesystem::path& folder, Engine* embedder, uint64_t posts) {
  const bool embeds = embedder && !stop_requested();
  std::optional<VectorsHeader> header = read_vectors_header(folder);
  if (embeds) {
    const std::vector<float> probe = embedder->embed(kProbeText);
    if (!header || !same_embedder(*header, probe)) header = VectorIndex::start(folder, embedder->name(), probe);
  }
  if (!header) return 0;
  const PostIndexReader reader(folder);
  VectorIndex vectors(folder, *header, VectorIndex::Mode::write);
  erase_vectors_without_posts(reader, vectors);
  if (!embeds) return 0;
  Progress progress("embed", posts, "posts");
  while (!stop_requested() && embed_missing_posts(reader, vectors, *embedder, kEmbedBatch) > 0)
    progress.update(vectors.size());
  return vectors.size();
}

}  // namespace

bool purge_index(const std::filesystem::path& index_folder, const ControlDb& control) {
  if (!has_post_index(index_folder)) return true;
  std::unique_ptr<FileLock> lock;
  try {
    lock = lock_index(index_folder);
  } catch (const IoError&) {
    return false;
  }
  PostIndexWriter writer(index_folder);
  if (!remove_deleted_posts(writer, control).empty()) update_vectors(index_folder, nullptr, 0);
  return true;
}

IndexReport build_index(const Workspace& workspace, const Config&, const PostStore& posts, const ControlDb& control,
                        Engine* embedder) {
  const double start_s = monotonic_s();
  const std::filesystem::path folder = workspace.index();
  const std::unique_ptr<FileLock> lock = lock_index(folder);
  IndexReport report;
  PostIndexWriter writer(folder);
  report.deleted = remove_deleted_posts(writer, control).size();
  index_missing_posts(writer, posts, control);
  report.vectors = update_vectors(folder, embedder, writer.size());
  // Nobody else could write the index for a deletion that came meanwhile.
  if (const size_t deleted = remove_deleted_posts(writer, control).size(); deleted > 0) {
    report.deleted += deleted;
    update_vectors(folder, nullptr, 0);
  }
  report.posts = writer.size();
  report.seconds = monotonic_s() - start_s;
  return report;
}

}  // namespace starling

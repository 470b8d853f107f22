#include "search/post_index.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>
#include <set>
#include <string_view>

#include "core/error.h"
#include "core/time.h"
#include "search/post_document.h"
#include "search/words.h"

namespace starling {
namespace {

namespace fs = std::filesystem;
// A reader that falls two commits behind is told to read again; after so many attempts it holds commits back.
constexpr int kFreeAttempts = 2, kMaxAttempts = 5;

constexpr Xapian::doccount kCountedExactly = 1000;
constexpr uint64_t kWiden = 4;  // how many times as many posts are looked at where matches are rarer than estimated

fs::path database_path(const fs::path& index_folder) { return index_folder / "lexical"; }

// The words of a post that may be suggested for a misspelt one, each once: adding a word is a look-up in the database.
std::set<std::string> spelling_words(const std::string& text) {
  std::set<std::string> words;
  for (const Word& word : split_words(text))
    if (word.text.size() > 2 && word.text.find_first_of("0123456789_") == std::string::npos) words.insert(word.text);
  return words;
}

int64_t time_of(const Xapian::Document& document) {
  return static_cast<int64_t>(Xapian::sortable_unserialise(document.get_value(kTimeSlot)));
}

int64_t first_second_of_day(int64_t time_s) { return time_s - (time_s % kDay_s + kDay_s) % kDay_s; }

PostSummary summary_of(const Xapian::Document& document) {
  return {.id = document.get_value(kIdSlot),
          .author = document.get_value(kAuthorSlot),
          .time_s = time_of(document),
          .engagement = static_cast<int64_t>(Xapian::sortable_unserialise(document.get_value(kEngagementSlot)))};
}

// p(t|d) of the ranked terms; empty for a post that was deleted meanwhile.
std::vector<std::pair<std::string, double>> term_distribution(const Xapian::Database& database, DocId docid) {
  std::vector<std::pair<std::string, double>> out;
  try {
    const double length = std::max<double>(1, database.get_doclength(docid));
    Xapian::TermIterator term = database.termlist_begin(docid);
    for (term.skip_to(kRankedPrefix); term != database.termlist_end(docid); ++term)
      if ((*term).starts_with(kRankedPrefix)) out.emplace_back(*term, term.get_wdf() / length);
  } catch (const Xapian::DocNotFoundError&) {
    out.clear();
  }
  return out;
}

class AcceptDecider : public Xapian::MatchDecider {
 public:
  explicit AcceptDecider(const PostIndexReader::Accept& accept) : accept_(accept) {}
  bool operator()(const Xapian::Document& document) const override {
    return accept_(document.get_value(kIdSlot), document.get_value(kAuthorSlot));
  }

 private:
  const PostIndexReader::Accept& accept_;
};

class CountingSpy : public Xapian::MatchSpy {
 public:
  CountingSpy(MatchCounts& counts, const PostIndexReader::Accept& accept) : counts_(counts), accept_(accept) {}
  void operator()(const Xapian::Document& document, double) override {
    const std::string author = document.get_value(kAuthorSlot);
    if (accept_ && !accept_(document.get_value(kIdSlot), author)) return;
    ++counts_.posts;
    ++counts_.authors[author];
    ++counts_.communities[document.get_value(kCommunitySlot)];
    ++counts_.languages[document.get_value(kLanguageSlot)];
    ++counts_.days[first_second_of_day(time_of(document))];
    const std::string tags = document.get_value(kHashtagsSlot);
    for (size_t begin = 0; begin < tags.size();) {
      const size_t end = std::min(tags.find(kListSeparator, begin), tags.size());
      ++counts_.hashtags[tags.substr(begin, end - begin)];
      begin = end + 1;
    }
  }

 private:
  MatchCounts& counts_;
  const PostIndexReader::Accept& accept_;
};

// Matches every docid from `first` on, so that what is before is skipped and not read.
class NewestPosts : public Xapian::PostingSource {
 public:
  NewestPosts(DocId first, DocId last) : first_(first), last_(last) {}
  void init(const Xapian::Database&) override { at_ = first_ - 1; }
  Xapian::doccount get_termfreq_min() const override { return 0; }
  Xapian::doccount get_termfreq_est() const override { return last_ - first_ + 1; }
  Xapian::doccount get_termfreq_max() const override { return last_ - first_ + 1; }
  void next(double) override { ++at_; }
  void skip_to(Xapian::docid docid, double) override { at_ = std::max(at_, docid); }
  bool at_end() const override { return at_ > last_; }
  Xapian::docid get_docid() const override { return at_; }

 private:
  DocId first_, last_, at_ = 0;
};

[[noreturn]] void throw_index_error(const fs::path& path, const Xapian::Error& error) {
  const std::string text = fmt::format("{}: {}", path.string(), error.get_description());
  if (error.get_type() == std::string_view("DatabaseLockError"))
    throw IoError(fmt::format("{}: another process writes this index; stop it or wait for it", path.string()));
  if (error.get_type() == std::string_view("DatabaseCorruptError"))
    throw DataError(text + "; the index is damaged: remove the index folder and run `starling index`");
  throw IoError(text);
}

}  // namespace

bool has_post_index(const fs::path& index_folder) { return fs::exists(database_path(index_folder)); }

CommitLock::CommitLock(const fs::path& index_folder, Mode mode) {
  const fs::path path = index_folder / ".commit";
  fd_ = ::open(path.c_str(), mode == Mode::read ? O_RDONLY | O_CLOEXEC : O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0 && mode == Mode::read) return;  // no writer that knows the lock has opened this index
  if (fd_ < 0) throw io_error(path.string(), "open lock");
  int failed = 0;
  do failed = ::flock(fd_, mode == Mode::read ? LOCK_SH : LOCK_EX);
  while (failed != 0 && errno == EINTR);
}

CommitLock::~CommitLock() {
  if (fd_ >= 0) ::close(fd_);
}

struct PostIndexReader::State {
  fs::path path;
  Bm25 bm25;
  std::mutex mutex;
  std::vector<Xapian::Database> idle;  // a Xapian::Database is not thread-safe: each call borrows one

  Xapian::Database borrow() {
    {
      const std::lock_guard lock(mutex);
      if (!idle.empty()) {
        Xapian::Database database = std::move(idle.back());
        idle.pop_back();
        return database;
      }
    }
    return Xapian::Database(path.string());
  }

  // Runs `work` on the newest revision, again when a writer overtook it.
  template <typename Work>
  auto read(const Work& work) -> decltype(work(std::declval<Xapian::Database&>())) {
    try {
      Xapian::Database database = borrow();
      std::optional<CommitLock> held;
      for (int attempt = 1;; ++attempt) {
        if (attempt > kFreeAttempts && !held) held.emplace(path.parent_path(), CommitLock::Mode::read);
        try {
          database.reopen();
          auto result = work(database);
          const std::lock_guard lock(mutex);
          idle.push_back(std::move(database));
          return result;
        } catch (const Xapian::DatabaseModifiedError&) {
          if (attempt == kMaxAttempts) throw;
        }
      }
    } catch (const Xapian::Error& error) {
      throw_index_error(path, error);
    }
  }
};

PostIndexReader::PostIndexReader(const fs::path& index_folder, Bm25 bm25) : state_(std::make_unique<State>()) {
  state_->path = database_path(index_folder);
  state_->bm25 = bm25;
  if (!fs::exists(state_->path))
    throw IoError(fmt::format("{}: no search index; run `starling index` first", state_->path.string()));
  size();
}

PostIndexReader::~PostIndexReader() = default;

LexicalResult PostIndexReader::find(const Query& query, int limit, const Accept& accept,
                                    const std::vector<WeightedTerm>& expansion) const {
  return state_->read([&](Xapian::Database& database) {
    Xapian::Enquire enquire(database);
    // k3 = 8: a word written twice in the query counts nearly twice. No floor for short posts: most posts are short.
    enquire.set_weighting_scheme(Xapian::BM25Weight(state_->bm25.k1, 0, 8, state_->bm25.b, 0));
    enquire.set_query(ranked_query(query, database, false, expansion));
    enquire.set_docid_order(Xapian::Enquire::DESCENDING);  // ties: the newer post
    const AcceptDecider decider(accept);
    const Xapian::doccount counted = expansion.empty() ? kCountedExactly : 0;  // a total is that of the query's words
    const Xapian::MSet matches =
        enquire.get_mset(0, static_cast<Xapian::doccount>(limit), counted, nullptr, accept ? &decider : nullptr);
    LexicalResult result;
    result.estimated_total = matches.get_matches_estimated();
    for (Xapian::MSetIterator i = matches.begin(); i != matches.end(); ++i)
      result.matches.push_back({*i, i.get_weight()});
    return result;
  });
}

std::vector<WeightedTerm> PostIndexReader::expand(const Query& query, const LexicalResult& found,
                                                  const Feedback& feedback) const {
  const auto best = std::min(found.matches.size(), static_cast<size_t>(feedback.posts));
  const double words = static_cast<double>(query.wanted_words().size());
  double scores = 0;
  for (size_t i = 0; i < best; ++i) scores += found.matches[i].score;
  if (!(scores > 0) || feedback.weight <= 0 || words == 0) return {};
  return state_->read([&](Xapian::Database& database) {
    std::map<std::string, double> probability;
    for (size_t i = 0; i < best; ++i)
      for (const auto& [term, p] : term_distribution(database, found.matches[i].docid))
        probability[term] += p * found.matches[i].score / scores;
    std::vector<WeightedTerm> terms;
    const double most = kMaxFeedbackShare * database.get_doccount();
    for (const auto& [term, p] : probability)
      if (const double posts = database.get_termfreq(term); posts > 1 && posts <= most) terms.push_back({term, p});
    std::sort(terms.begin(), terms.end(), [](const WeightedTerm& a, const WeightedTerm& b) {
      return a.weight != b.weight ? a.weight > b.weight : a.term < b.term;
    });
    if (terms.size() > static_cast<size_t>(feedback.terms)) terms.resize(static_cast<size_t>(feedback.terms));
    double sum = 0;
    for (const WeightedTerm& term : terms) sum += term.weight;
    // A word of the query has (1 - weight) / words there and 1 here.
    const double scale = feedback.weight / std::max(1 - feedback.weight, 1e-6) * words;
    for (WeightedTerm& term : terms) term.weight *= scale / sum;
    return terms;
  });
}

MatchCounts PostIndexReader::count_matches(const Query& query, bool all_words, const Accept& accept,
                                           uint64_t enough) const {
  return state_->read([&](Xapian::Database& database) {
    const Xapian::Query wanted = ranked_query(query, database, all_words, {});
    Xapian::Enquire enquire(database);
    enquire.set_weighting_scheme(Xapian::BoolWeight());
    enquire.set_query(wanted);
    const uint64_t last = database.get_lastdocid(), total = enquire.get_mset(0, 0).get_matches_estimated();
    uint64_t posts = enough == 0 || total <= enough ? last : last * enough / total + 1;
    for (;; posts *= kWiden) {
      MatchCounts counts;
      CountingSpy spy(counts, accept);
      enquire.clear_matchspies();
      enquire.add_matchspy(&spy);
      counts.complete = posts >= last;
      if (!counts.complete) {
        NewestPosts newest(static_cast<DocId>(last - posts + 1), static_cast<DocId>(last));
        enquire.set_query(Xapian::Query(Xapian::Query::OP_FILTER, wanted, Xapian::Query(&newest)));
        enquire.get_mset(0, 0, database.get_doccount());
        if (static_cast<uint64_t>(counts.posts) < enough / 2) continue;  // fewer than was estimated
      } else {
        enquire.set_query(wanted);
        enquire.get_mset(0, 0, database.get_doccount());
      }
      return counts;
    }
  });
}

std::optional<std::unordered_set<DocId>> PostIndexReader::filter(const Query& query) const {
  return state_->read([&](Xapian::Database& database) -> std::optional<std::unordered_set<DocId>> {
    const Xapian::Query filter = filter_query(query, database);
    if (filter.empty()) return std::nullopt;
    Xapian::Enquire enquire(database);
    enquire.set_weighting_scheme(Xapian::BoolWeight());
    enquire.set_query(filter);
    const Xapian::MSet matches = enquire.get_mset(0, database.get_doccount());
    std::unordered_set<DocId> out;
    for (Xapian::MSetIterator i = matches.begin(); i != matches.end(); ++i) out.insert(*i);
    return out;
  });
}

std::optional<Post> PostIndexReader::post(DocId docid) const {
  return state_->read([&](Xapian::Database& database) -> std::optional<Post> {
    try {
      return post_from_json(database.get_document(docid).get_data());
    } catch (const Xapian::DocNotFoundError&) {
      return std::nullopt;
    }
  });
}

std::optional<PostSummary> PostIndexReader::summary(DocId docid) const { return summaries({docid})[0]; }

std::vector<std::optional<PostSummary>> PostIndexReader::summaries(const std::vector<DocId>& docids) const {
  return state_->read([&](Xapian::Database& database) {
    std::vector<std::optional<PostSummary>> found(docids.size());
    for (size_t i = 0; i < docids.size(); ++i) try {
        found[i] = summary_of(database.get_document(docids[i]));
      } catch (const Xapian::DocNotFoundError&) {
        found[i].reset();
      }
    return found;
  });
}

std::optional<DocId> PostIndexReader::find_id(const std::string& post_id) const {
  return state_->read([&](Xapian::Database& database) -> std::optional<DocId> {
    const Xapian::PostingIterator at = database.postlist_begin(id_term(post_id));
    if (at == database.postlist_end(id_term(post_id))) return std::nullopt;
    return *at;
  });
}

std::vector<DocId> PostIndexReader::docids_after(DocId last, size_t limit) const {
  return state_->read([&](Xapian::Database& database) {
    std::vector<DocId> out;
    Xapian::PostingIterator at = database.postlist_begin("");
    for (at.skip_to(last + 1); at != database.postlist_end("") && out.size() < limit; ++at) out.push_back(*at);
    return out;
  });
}

uint64_t PostIndexReader::size() const {
  return state_->read([](Xapian::Database& database) -> uint64_t { return database.get_doccount(); });
}

DocId PostIndexReader::last_docid() const {
  return state_->read([](Xapian::Database& database) -> DocId { return database.get_lastdocid(); });
}

std::optional<int64_t> PostIndexReader::newest_time_s() const {
  return state_->read([](Xapian::Database& database) -> std::optional<int64_t> {
    const std::string bound = database.get_value_upper_bound(kTimeSlot);
    if (bound.empty()) return std::nullopt;
    return static_cast<int64_t>(Xapian::sortable_unserialise(bound));
  });
}

std::string PostIndexReader::suggest(const std::string& word) const {
  return state_->read([&](Xapian::Database& database) -> std::string {
    if (word.size() < 3 || database.term_exists(word)) return {};
    return database.get_spelling_suggestion(word);
  });
}

int64_t PostIndexReader::document_frequency(const std::string& word) const {
  return state_->read([&](Xapian::Database& database) -> int64_t {
    const std::string stemmed = stem(word, "en");
    const int64_t count = database.get_termfreq("Z" + stemmed);
    return stemmed == word ? count : count + database.get_termfreq("Z" + word);
  });
}

std::string PostIndexReader::metadata(const std::string& key) const {
  return state_->read([&](Xapian::Database& database) { return database.get_metadata(key); });
}

struct PostIndexWriter::State {
  fs::path path;
  Xapian::WritableDatabase database;

  // The post under this id, whose words are no longer reasons for a suggestion; none when there is no such post.
  std::optional<DocId> forget_words(const std::string& term) {
    const Xapian::PostingIterator at = database.postlist_begin(term);
    if (at == database.postlist_end(term)) return std::nullopt;
    for (const std::string& word : spelling_words(post_from_json(database.get_document(*at).get_data()).text))
      database.remove_spelling(word);
    return *at;
  }

  template <typename Work>
  auto write(const Work& work) -> decltype(work()) {
    try {
      return work();
    } catch (const Xapian::Error& error) {
      throw_index_error(path, error);
    }
  }
};

PostIndexWriter::PostIndexWriter(const fs::path& index_folder) : state_(std::make_unique<State>()) {
  state_->path = database_path(index_folder);
  std::error_code code;
  fs::create_directories(index_folder, code);
  if (code) throw IoError(fmt::format("{}: create folder: {}", index_folder.string(), code.message()));
  state_->write([&] { state_->database = Xapian::WritableDatabase(state_->path.string(), Xapian::DB_CREATE_OR_OPEN); });
}

PostIndexWriter::~PostIndexWriter() = default;

bool PostIndexWriter::contains(const std::string& post_id) const {
  return state_->write([&] { return state_->database.term_exists(id_term(post_id)); });
}

DocId PostIndexWriter::put(const Post& post) {
  return state_->write([&]() -> DocId {
    const Xapian::Document document = make_document(post);
    state_->forget_words(id_term(post.id));
    for (const std::string& word : spelling_words(post.text)) state_->database.add_spelling(word);
    return state_->database.replace_document(id_term(post.id), document);
  });
}

std::optional<DocId> PostIndexWriter::remove_post(const std::string& post_id) {
  return state_->write([&]() -> std::optional<DocId> {
    const std::optional<DocId> docid = state_->forget_words(id_term(post_id));
    if (docid) state_->database.delete_document(*docid);
    return docid;
  });
}

std::vector<DocId> PostIndexWriter::remove_author(const std::string& author) {
  return state_->write([&] {
    Xapian::WritableDatabase& database = state_->database;
    std::vector<std::string> ids;  // the term is folded, the account's name is not
    const std::string term = field_term("A", author);
    for (Xapian::PostingIterator at = database.postlist_begin(term); at != database.postlist_end(term); ++at) {
      const Xapian::Document document = database.get_document(*at);
      if (document.get_value(kAuthorSlot) == author) ids.push_back(document.get_value(kIdSlot));
    }
    std::vector<DocId> removed;
    for (const std::string& id : ids)
      if (const auto docid = remove_post(id)) removed.push_back(*docid);
    return removed;
  });
}

void PostIndexWriter::set_metadata(const std::string& key, const std::string& value) {
  state_->write([&] { state_->database.set_metadata(key, value); });
}

std::string PostIndexWriter::metadata(const std::string& key) const {
  return state_->write([&] { return state_->database.get_metadata(key); });
}

uint64_t PostIndexWriter::size() const {
  return state_->write([&]() -> uint64_t { return state_->database.get_doccount(); });
}

void PostIndexWriter::commit() {
  const CommitLock alone(state_->path.parent_path(), CommitLock::Mode::commit);
  state_->write([&] { state_->database.commit(); });
}

}  // namespace starling

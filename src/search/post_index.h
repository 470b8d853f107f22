// The lexical index: one Xapian database in index/lexical. Ranked by BM25.
//   weight(t, d) = idf(t) * (k1 + 1) tf / (tf + k1 (1 - b + b len(d) / mean len))
// Source: Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond".
// One process writes, any number read. A document keeps its number (`docid`, from 1) and a number is never used again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "posts/post.h"
#include "search/query.h"

namespace starling {

using DocId = uint32_t;

struct Bm25 {
  double k1 = 0.9, b = 0.4;
};

// What filters and priors need to know of a post, without its text.
struct PostSummary {
  std::string id, author;
  int64_t time_s = 0, engagement = 0;
};

// How many matching posts have which value; "" counts those without one.
struct MatchCounts {
  using Counts = std::unordered_map<std::string, int64_t>;
  int64_t posts = 0;
  bool complete = true;                              // every match is counted, not only those that came last
  Counts authors, communities, languages, hashtags;  // hashtags are folded
  std::unordered_map<int64_t, int64_t> days;         // by their first second
};

struct LexicalMatch {
  DocId docid = 0;
  double score = 0;
};

struct LexicalResult {
  std::vector<LexicalMatch> matches;  // best first
  int64_t estimated_total = 0;
};

// Pseudo-relevance feedback, RM3: the words that the best posts have in common join the query.
//   p(t|R) = sum over the best posts d of p(t|d) score(d) / sum of scores,   p(t|d) = tf(t, d) / len(d)
//   query' = (1 - weight) query + weight * the `terms` most probable t, rescaled to a sum of 1
// Terms in more than kMaxFeedbackShare of the posts, or in one post only, are left out.
// Sources: Lavrenko & Croft 2001, "Relevance-based language models"; Abdul-Jaleel et al. 2004, "UMass at TREC 2004";
// 10 posts, 10 terms, weight 0.5 and the share are Anserini's and Lucene's common settings (Yang et al. 2017).
struct Feedback {
  int posts = 10, terms = 10;
  double weight = 0.5;  // 0: off
};
inline constexpr double kMaxFeedbackShare = 0.1;

struct WeightedTerm {
  std::string term;   // as it stands in the index
  double weight = 0;  // beside 1 for a word of the query
};

// Commits wait for a read that they have overtaken too often, whichever process makes them: index/.commit, an advisory
// lock that such a read shares and a commit takes alone.
class CommitLock {
 public:
  enum class Mode { read, commit };
  CommitLock(const std::filesystem::path& index_folder, Mode mode);
  CommitLock(const CommitLock&) = delete;
  ~CommitLock();

 private:
  int fd_ = -1;
};

bool has_post_index(const std::filesystem::path& index_folder);

class PostIndexReader {
 public:
  explicit PostIndexReader(const std::filesystem::path& index_folder, Bm25 bm25 = {});
  ~PostIndexReader();

  // Thread-safe; each call sees everything committed before it began, by this process or another.
  // False: hidden from the result; empty: all are shown, and found faster.
  using Accept = std::function<bool(const std::string& post_id, const std::string& author)>;
  LexicalResult find(const Query& query, int limit, const Accept& accept,
                     const std::vector<WeightedTerm>& expansion = {}) const;
  // The terms that `found`, the result of find(query), adds to the query.
  std::vector<WeightedTerm> expand(const Query& query, const LexicalResult& found, const Feedback& feedback) const;
  // Of every post that matches all clauses (all_words) or that find() would rank. With `enough` the index is read from
  // its newest posts on, only as far as about so many matches take: the time does not grow with the index.
  MatchCounts count_matches(const Query& query, bool all_words, const Accept& accept, uint64_t enough = 0) const;
  // The posts that pass the query's filters and exclusions; none when it has no such part.
  std::optional<std::unordered_set<DocId>> filter(const Query& query) const;

  std::optional<Post> post(DocId docid) const;  // none: deleted
  std::optional<PostSummary> summary(DocId docid) const;
  std::vector<std::optional<PostSummary>> summaries(const std::vector<DocId>& docids) const;
  std::optional<DocId> find_id(const std::string& post_id) const;
  std::vector<DocId> docids_after(DocId last, size_t limit) const;  // ascending
  uint64_t size() const;
  DocId last_docid() const;
  std::optional<int64_t> newest_time_s() const;
  std::string suggest(const std::string& word) const;  // a known word near an unknown one; empty when none
  int64_t document_frequency(const std::string& word) const;
  std::string metadata(const std::string& key) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class PostIndexWriter {
 public:
  // Creates the index when missing. Throws IoError when another process writes it, DataError when it is damaged.
  explicit PostIndexWriter(const std::filesystem::path& index_folder);
  ~PostIndexWriter();

  bool contains(const std::string& post_id) const;
  DocId put(const Post& post);  // replaces the post with the same id
  std::optional<DocId> remove_post(const std::string& post_id);
  std::vector<DocId> remove_author(const std::string& author);
  void set_metadata(const std::string& key, const std::string& value);
  std::string metadata(const std::string& key) const;
  uint64_t size() const;
  void commit();  // durable and visible to readers; put and remove alone are not

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace starling

// Search over the workspace's posts: lexical (Xapian) and vector results fused, then recency and engagement.
// Thread-safe. New posts are visible within 2 s, deleted ones are gone from the next request on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/config.h"
#include "core/workspace.h"
#include "infer/service.h"
#include "posts/post.h"
#include "posts/post_store.h"
#include "store/control_db.h"

namespace starling {

class Engine;

std::vector<ConfigKey> search_config_keys();

// Which stages take part; each is a row of `starling eval search`.
enum class SearchStage { lexical, feedback, vector, fused, ranked };

struct SearchRequest {
  std::string
      query;       // the query language: words "phrases" from: since: until: lang: in: min_likes: #tag @name -word OR
  int limit = 10;  // 1..100
  int offset = 0;  // 0..1000
  SearchStage stage = SearchStage::ranked;
  bool facets = false;
};

struct SearchHit {
  Post post;
  double score = 0;
  double lexical_score = 0, vector_score = 0;  // 0 when that stage did not find it
  std::string snippet_html;                    // escaped text with <mark> round the query's words
};

struct Facet {
  std::string field;  // "author", "community", "language", "hashtag", "day"
  std::vector<std::pair<std::string, int64_t>> counts;
};

struct SearchResult {
  std::vector<SearchHit> hits;
  int64_t estimated_total = 0;
  std::vector<Facet> facets;
  int64_t facet_posts = 0;      // how many posts the facets count
  bool facets_complete = true;  // those are all matches; else, of very many, the ones that came last
  std::string corrected_query;  // spelling suggestion, empty when none
  double took_ms = 0;
};

struct AskSentence {
  std::string text;
  std::vector<std::string> post_ids;  // live posts that support it; never empty
};

struct AskAnswer {
  bool answered = false;  // false: "no answer in the posts"
  std::vector<AskSentence> sentences;
  std::vector<SearchHit> sources;
};

class SearchService {
 public:
  // `embedder` may be null: lexical only. All references must outlive the service.
  SearchService(const Workspace& workspace, const Config& config, PostStore& posts, ControlDb& control,
                Engine* embedder);
  ~SearchService();

  SearchResult search(const SearchRequest& request);  // throws DataError for a malformed query
  // Without a writer: sentences taken from the posts. The writer writes for `service`.
  AskAnswer ask(const std::string& question, Engine* writer, const Service& service = {});
  void add(const Post& post);  // visible to the next search
  // After new tombstones, of any process; search also checks each hit. Cheap when there are none.
  void hide_deleted();

  // Counts of distinct authors for posts that match `query` (opt-outs for "ads" and deleted posts left out); for
  // audiences.
  struct Audience {
    int64_t authors = 0, posts = 0;
    std::vector<std::pair<std::string, int64_t>> hashtags, communities, languages;
  };
  Audience audience(const std::string& query);
  uint64_t indexed_posts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Builds or updates index/ from the post store: lexical terms, then vectors when `embedder` is given. Resumable.
struct IndexReport {
  uint64_t posts = 0, deleted = 0, vectors = 0;
  double seconds = 0;
};
IndexReport build_index(const Workspace& workspace, const Config& config, const PostStore& posts,
                        const ControlDb& control, Engine* embedder);

// Takes deleted posts and their vectors out of the index, if there is one. False where another process writes it: that
// one does so by itself.
bool purge_index(const std::filesystem::path& index_folder, const ControlDb& control);

}  // namespace starling

// Ask: an answer made of sentences, each carrying the id of a live post that supports it, or none.
//
// 1. Search for the question's content words. 2. Take sentences from the posts found. 3. Score each by the share of the
// question's content words it covers, each weighted by idf. 4. With a writer: let it answer from the best posts,
// numbered; keep a sentence of its answer only when one sentence of a post covers its words and holds every number and
// name in it.
// 5. Otherwise the best sentences of the posts themselves. Below kMinCoverage there is no answer.
// A post's text is data throughout: what it says can be quoted, never obeyed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "search/search_service.h"

namespace starling {

inline constexpr int kAskPosts = 20;

struct AskSources {
  std::function<SearchResult(const std::string& query)> search;
  std::function<int64_t(const std::string& word)> document_frequency;
  std::function<bool(const Post&)> is_live;
  int64_t total_posts = 0;
};

AskAnswer answer_question(const std::string& question, const AskSources& sources, Engine* writer,
                          const Service& service = {});

}  // namespace starling

// The files of a retrieval experiment; plain, gzip or zstd.
//   corpus   JSON lines {"_id", "text", "time"?}; other fields are ignored
//   queries  JSON lines {"_id", "text", "max_id"?}, or TREC topics: <top> with <num>, <title> or <query>, and
//            <querytweettime>
//
//   qrels    TSV "query document grade" with a header line, or TREC's "query 0 document grade"
//
//   run      TREC's "query Q0 document rank score tag"
//
// Every reader throws DataError with file:line for a line that does not follow its format.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "posts/post.h"
#include "search/trec_eval.h"

namespace starling {

struct Topic {
  std::string id, text;
  std::optional<uint64_t> max_id;  // only documents whose id is a number at most this may be returned
};

// A numeric id of at least 2^40 is a tweet's and holds its time; otherwise a row without "time" has time 0.
void read_corpus(const std::filesystem::path& path, const std::string& language,
                 const std::function<void(const Post&)>& visit);
std::vector<Topic> read_topics(const std::filesystem::path& path);
Qrels read_qrels(const std::filesystem::path& path);
void write_run(const std::filesystem::path& path, const Run& run, const std::string& tag);  // atomically

}  // namespace starling

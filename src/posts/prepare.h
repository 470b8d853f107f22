// From raw posts to token shards: deletions and opt-outs, cleaning, language, spam, duplicates, personal data, split by
// time, tokenizer, tokens. The result replaces the old shards at once; a stopped or killed run leaves them in place.
// The same posts, settings and control database give the same bytes.
// Memory: prepare.memory_mb, a quarter of a byte a post, the ids of deletions and opt-outs, and the texts of three
// batches a thread. Cleaned texts and MinHash signatures (256 bytes a post) wait in files beside the shards, and so do
// records (80 bytes a post, twice while they are sorted), the tables of the search for near duplicates (24 + 16 t bytes
// a post with t threads, 272 t more for one that shares a band) and the list of what is kept (32) once they outgrow
// that memory. Of mapped files the system keeps in memory what it has room for.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/workspace.h"
#include "posts/personal_data.h"
#include "posts/post_store.h"

namespace starling {

class ControlDb;

enum class DropReason {
  kDeleted,
  kOptedOut,
  kTooShort,
  kLanguage,
  kSpam,
  kFeed,
  kTemplate,
  kExactDuplicate,
  kNearDuplicate,
  kAuthorCap
};
inline constexpr size_t kDropReasons = 10;
inline constexpr std::array<const char*, kDropReasons> kDropNames = {
    "deleted", "opted_out", "too_short",       "language",       "spam",
    "feed",    "template",  "exact_duplicate", "near_duplicate", "author_cap"};

struct SplitCounts {
  uint64_t posts = 0, tokens = 0, text_bytes = 0;
  int64_t first_time_s = 0, last_time_s = 0;
};

struct PrepareReport {
  uint64_t posts = 0;                            // read
  std::array<uint64_t, kDropReasons> dropped{};  // by DropReason; each post counts once, under the first that applies
  SplitCounts train, valid;
  uint64_t canary_samples = 0;                // planted in the training split; not among its posts, but its tokens
  uint64_t cut_posts = 0;                     // longer than prepare.max_tokens
  PersonalDataCounts personal_data{};         // marks in the kept posts
  std::map<std::string, uint64_t> languages;  // of the kept posts
  int64_t vocab_size = 0;
  std::string tokenizer_sha256;
  bool tokenizer_trained = false;
  uint64_t tombstone_version = 0;  // of the control database when the run began
};

// `progress(stage, done, total)`; total 0: unknown. Throws Error when stop_requested(), ConfigError when no post is
// left.
using PrepareProgress = std::function<void(const std::string& stage, uint64_t done, uint64_t total)>;
PrepareReport prepare(const Workspace& workspace, const Config& config, const ControlDb& control,
                      const PrepareProgress& progress);

// The same work shared by many machines. prepare_part() reads, cleans and examines every count-th segment of the posts
// and leaves the result in shards.parts/; its report counts what it read and dropped. merge_parts() does the rest from
// the files of all parts: the same bytes as prepare(). What is deleted or opted out meanwhile is dropped by the merge,
// which removes the files with the shards in place.
// merge_parts() throws IoError or DataError, naming the part, when one is missing, damaged, or made with other
// settings or posts than the others.
struct Part {
  uint32_t index = 1, count = 1;  // from 1
};
PrepareReport prepare_part(const Workspace& workspace, const Config& config, const ControlDb& control, const Part& part,
                           const PrepareProgress& progress);
PrepareReport merge_parts(const Workspace& workspace, const Config& config, const ControlDb& control, uint32_t count,
                          const PrepareProgress& progress);

// Texts and old shards that a killed run left behind, which no deletion would reach; nothing while a run is at work,
// which takes them away at its end. Throws IoError.
void remove_unfinished_shards(const Workspace& workspace);

// Takes the texts of deleted posts out of the parts. Of one that is being made prepare_part() does so at its end, and
// one that is being merged is removed. Throws IoError.
void purge_parts(const Workspace& workspace, const ControlDb& control);

std::string to_json(const PrepareReport& report);

}  // namespace starling

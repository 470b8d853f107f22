#include "posts/clean_posts.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "core/error.h"
#include "core/hash.h"
#include "core/stop.h"
#include "core/threads.h"
#include "posts/dedup.h"
#include "posts/language.h"
#include "posts/ordered_pipeline.h"
#include "posts/segment_file.h"
#include "posts/spam.h"
#include "posts/text_clean.h"
#include "store/control_db.h"

namespace starling {
namespace {

constexpr size_t kBatchPosts = 2048, kBatchBytes = 4 << 20, kWriteBytes = 1 << 20;

// Near-duplicate search needs enough characters to tell texts apart; a shorter text has only exact duplicates.
constexpr size_t kMinNearDuplicateBytes = 20;

// One post on its way: what a thread found out about it.
struct Candidate {
  Post post;
  std::optional<DropReason> dropped;
  std::string text, language;
  PersonalDataCounts personal_data{};
  uint64_t exact_hash = 0, template_hash = 0;
  bool has_signature = false;
  MinHashSignature signature{};
};

// What later stages need of a post: about 370 bytes.
struct Record {
  CleanedPost post;
  uint64_t exact_hash, template_hash, author_hash;
  uint32_t language;  // index into languages
  std::array<uint16_t, kPersonalDataKinds> personal_data;
  bool has_signature;
  MinHashSignature signature;
};

struct Rules {
  explicit Rules(const Config& config)
      : min_chars(static_cast<size_t>(config.integer("prepare.min_chars"))),
        languages("," + config.text("prepare.languages") + ","),
        spam_threshold(config.number("prepare.spam_score")),
        similarity(config.number("prepare.near_duplicate_similarity")),
        strip_quotes(config.boolean("prepare.strip_quotes")),
        personal_data(config.boolean("prepare.replace_personal_data")),
        max_template_posts(static_cast<uint64_t>(config.integer("prepare.max_template_posts"))),
        max_posts_per_author(static_cast<uint64_t>(config.integer("prepare.max_posts_per_author"))) {
    std::erase(languages, ' ');
  }
  bool keeps_language(const std::string& language) const {
    return languages == ",," || languages.find("," + language + ",") != std::string::npos;
  }

  size_t min_chars;
  std::string languages;
  double spam_threshold, similarity;
  bool strip_quotes, personal_data;
  uint64_t max_template_posts, max_posts_per_author;
};

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// The stages that look at one post alone. Runs in parallel.
void examine(const Rules& rules, Candidate& candidate) {
  if (candidate.dropped) return;
  // Quotes before cleaning: a signature's "-- " ends in a space.
  candidate.text = clean_text(rules.strip_quotes ? strip_quoted_text(candidate.post.text) : candidate.post.text);
  if (candidate.text.empty() || count_characters(candidate.text) < rules.min_chars) {
    candidate.dropped = DropReason::kTooShort;
    return;
  }
  candidate.language = candidate.post.language.empty() || candidate.post.language == "und"
                           ? detect_language(candidate.text)
                           : candidate.post.language;
  if (!rules.keeps_language(candidate.language)) {
    candidate.dropped = DropReason::kLanguage;
    return;
  }
  if (rules.spam_threshold > 0 && spam_score(candidate.text).score >= rules.spam_threshold) {
    candidate.dropped = DropReason::kSpam;
    return;
  }
  const std::string normalized = normalize_for_duplicates(candidate.text);
  candidate.exact_hash = hash64(normalized.empty() ? candidate.text : normalized);
  candidate.template_hash = template_hash(candidate.text);
  candidate.has_signature = rules.similarity < 1 && normalized.size() >= kMinNearDuplicateBytes;
  if (candidate.has_signature) candidate.signature = minhash_signature(normalized);
  if (rules.personal_data) candidate.text = replace_personal_data(candidate.text, &candidate.personal_data);
}

struct Batch {
  SegmentLines lines;
  std::vector<Candidate> candidates;
};

// Deletions and opt-outs as they are when the run begins. The trainer masks what is deleted later.
class Exclusions {
 public:
  explicit Exclusions(const ControlDb& control) {
    for (const Tombstone& tombstone : control.tombstones())
      (tombstone.kind == "author" ? deleted_authors_ : deleted_posts_).insert(tombstone.id);
    for (std::string& author : control.opted_out_authors("training")) opted_out_.insert(std::move(author));
  }
  std::optional<DropReason> reason(const Post& post) const {
    if (deleted_posts_.contains(post.id) || deleted_authors_.contains(post.author)) return DropReason::kDeleted;
    if (opted_out_.contains(post.author)) return DropReason::kOptedOut;
    return {};
  }

 private:
  std::unordered_set<std::string> deleted_posts_, deleted_authors_, opted_out_;
};

class Cleaner {
 public:
  Cleaner(const Workspace& workspace, const Config& config, const ControlDb& control,
          const std::filesystem::path& text_file, const PrepareProgress& progress, PrepareReport& report)
      : files_(PostStore(workspace.posts()).files()),
        rules_(config),
        tombstone_version_(control.tombstone_version()),
        exclusions_(control),
        text_file_(text_file),
        progress_(progress),
        report_(report) {}

  CleanedPosts run() {
    report_.tombstone_version = tombstone_version_;
    write_file_atomic(text_file_, [this](const AppendBytes& append) { read_posts(append); });
    CleanedPosts cleaned;
    cleaned.file = MappedFile(text_file_);
    sort_by_time(cleaned.file.text());
    drop_templates();
    drop_exact_duplicates();
    drop_near_duplicates();
    drop_over_author_cap();
    for (const Record& record : records_) {
      cleaned.posts.push_back(record.post);
      ++report_.languages[languages_[record.language]];
      for (size_t kind = 0; kind < kPersonalDataKinds; ++kind)
        report_.personal_data[kind] += record.personal_data[kind];
    }
    return cleaned;
  }

 private:
  void read_posts(const AppendBytes& append) {
    OrderedPipeline<Batch> pipeline({[this](Batch& batch) { return next_lines(batch); },
                                     [this](Batch& batch) { examine_batch(batch); },
                                     [&](Batch& batch) { take(batch, append); }});
    pipeline.run(compute_threads());
    append(buffer_.data(), buffer_.size());
    buffer_.clear();
  }

  bool next_lines(Batch& batch) {
    if (stop_requested()) throw Error("prepare was interrupted; the shards are as they were");
    for (; next_file_ <= files_.size(); reader_ = std::make_unique<SegmentReader>(files_[next_file_++])) {
      if (reader_ && reader_->next(batch.lines, kBatchPosts, kBatchBytes)) return true;
      if (next_file_ == files_.size()) return false;
    }
    return false;
  }

  void examine_batch(Batch& batch) const {
    batch.candidates.resize(batch.lines.lines.size());
    for (size_t i = 0; i < batch.candidates.size(); ++i) {
      Candidate& candidate = batch.candidates[i];
      candidate.post = batch.lines.post(i);
      candidate.dropped = exclusions_.reason(candidate.post);
      examine(rules_, candidate);
    }
  }

  void take(const Batch& batch, const AppendBytes& append) {
    for (const Candidate& candidate : batch.candidates) {
      ++report_.posts;
      if (candidate.dropped) ++report_.dropped[static_cast<size_t>(*candidate.dropped)];
      else keep(candidate, append);
    }
    progress_("clean", report_.posts, 0);
  }

  void keep(const Candidate& candidate, const AppendBytes& append) {
    const Post& post = candidate.post;
    Record record{};
    record.post = {post.time_s, offset_, static_cast<uint32_t>(post.id.size()),
                   static_cast<uint32_t>(post.author.size()), static_cast<uint32_t>(candidate.text.size())};
    record.exact_hash = candidate.exact_hash;
    record.template_hash = candidate.template_hash;
    record.author_hash = post.author.empty() ? 0 : hash64(post.author);
    record.language = language_index(candidate.language);
    for (size_t kind = 0; kind < kPersonalDataKinds; ++kind)
      record.personal_data[kind] = static_cast<uint16_t>(std::min<uint64_t>(candidate.personal_data[kind], 65535));
    record.has_signature = candidate.has_signature;
    record.signature = candidate.signature;
    records_.push_back(record);
    for (const std::string* part : {&post.id, &post.author, &candidate.text}) {
      buffer_ += *part;
      offset_ += part->size();
    }
    if (buffer_.size() < kWriteBytes) return;
    append(buffer_.data(), buffer_.size());
    buffer_.clear();
  }

  uint32_t language_index(const std::string& language) {
    const auto found = std::find(languages_.begin(), languages_.end(), language);
    if (found != languages_.end()) return static_cast<uint32_t>(found - languages_.begin());
    languages_.push_back(language);
    return static_cast<uint32_t>(languages_.size() - 1);
  }

  // The order of ingest must not show: equal times are ordered by id.
  void sort_by_time(std::string_view texts) {
    std::sort(records_.begin(), records_.end(), [&](const Record& a, const Record& b) {
      if (a.post.time_s != b.post.time_s) return a.post.time_s < b.post.time_s;
      return texts.substr(a.post.offset, a.post.id_bytes) < texts.substr(b.post.offset, b.post.id_bytes);
    });
  }

  template <typename Drops>
  void drop_if(DropReason reason, const Drops& drops) {
    report_.dropped[static_cast<size_t>(reason)] += std::erase_if(records_, drops);
  }

  void drop_templates() {
    if (rules_.max_template_posts == 0) return;
    std::unordered_map<uint64_t, uint64_t> counts;
    drop_if(DropReason::kTemplate, [&](const Record& record) {
      if (record.author_hash == 0 || record.template_hash == 0) return false;
      return ++counts[record.author_hash ^ record.template_hash * 0x9e3779b97f4a7c15] > rules_.max_template_posts;
    });
  }

  void drop_exact_duplicates() {
    std::unordered_set<uint64_t> seen;
    drop_if(DropReason::kExactDuplicate, [&](const Record& record) { return !seen.insert(record.exact_hash).second; });
  }

  void drop_near_duplicates() {
    progress_("near duplicates", 0, records_.size());
    std::vector<MinHashSignature> signatures;
    for (const Record& record : records_)
      if (record.has_signature) signatures.push_back(record.signature);
    const std::vector<uint32_t> heads = near_duplicate_clusters(signatures, rules_.similarity);
    uint32_t next = 0;
    drop_if(DropReason::kNearDuplicate, [&](const Record& record) {
      if (!record.has_signature) return false;
      const uint32_t index = next++;
      return heads[index] != index;
    });
  }

  void drop_over_author_cap() {
    if (rules_.max_posts_per_author == 0) return;
    std::unordered_map<uint64_t, uint64_t> counts;
    std::reverse(records_.begin(), records_.end());  // the latest posts are kept
    drop_if(DropReason::kAuthorCap, [&](const Record& record) {
      return record.author_hash != 0 && ++counts[record.author_hash] > rules_.max_posts_per_author;
    });
    std::reverse(records_.begin(), records_.end());
  }

  std::vector<std::filesystem::path> files_;
  std::unique_ptr<SegmentReader> reader_;
  size_t next_file_ = 0;
  Rules rules_;
  uint64_t tombstone_version_;  // read before the exclusions: a deletion in between is masked, never lost
  Exclusions exclusions_;
  std::filesystem::path text_file_;
  const PrepareProgress& progress_;
  PrepareReport& report_;
  std::vector<Record> records_;
  std::vector<std::string> languages_;
  std::string buffer_;  // of the text file
  uint64_t offset_ = 0;
};

}  // namespace

CleanedPosts clean_posts(const Workspace& workspace, const Config& config, const ControlDb& control,
                         const std::filesystem::path& text_file, const PrepareProgress& progress,
                         PrepareReport& report) {
  return Cleaner(workspace, config, control, text_file, progress, report).run();
}

}  // namespace starling

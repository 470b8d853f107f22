#include "posts/clean_posts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <unordered_set>

#include "core/error.h"
#include "core/hash.h"
#include "core/threads.h"
#include "posts/buffered_file.h"
#include "posts/dedup.h"
#include "posts/external_sort.h"
#include "posts/feed.h"
#include "posts/ingest.h"
#include "posts/language.h"
#include "posts/ordered_pipeline.h"
#include "posts/part_files.h"
#include "posts/row_progress.h"
#include "posts/segment_file.h"
#include "posts/spam.h"
#include "posts/text_clean.h"
#include "store/control_db.h"

namespace starling {
namespace {

constexpr size_t kBatchPosts = 2048, kBatchBytes = 4 << 20;

// Near-duplicate search needs enough characters to tell texts apart; a shorter text has only exact duplicates.
constexpr size_t kMinNearDuplicateBytes = 20;

constexpr uint64_t kNoSignature = std::numeric_limits<uint64_t>::max();

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

// What later stages need of a post.
struct Record {
  CleanedPost post;
  uint64_t exact_hash, template_hash, author_hash;
  uint32_t language;  // index into languages
  std::array<uint16_t, kPersonalDataKinds> personal_data;
  PostManner manner;
  uint64_t signature;  // index in the file of signatures, kNoSignature for none
};
static_assert(sizeof(Record) == 80);  // the files of parts hold them

struct Rules {
  explicit Rules(const Config& config)
      : min_chars(config.count("prepare.min_chars")),
        languages("," + config.text("prepare.languages") + ","),
        spam_threshold(config.number("prepare.spam_score")),
        similarity(config.number("prepare.near_duplicate_similarity")),
        strip_quotes(config.boolean("prepare.strip_quotes")),
        personal_data(config.boolean("prepare.replace_personal_data")),
        max_feed_posts(config.count("prepare.max_feed_posts")),
        max_template_posts(config.count("prepare.max_template_posts")),
        max_posts_per_author(config.count("prepare.max_posts_per_author")),
        memory_bytes(config.count("prepare.memory_mb") << 20) {
    std::erase(languages, ' ');
  }
  // All that examine() depends on.
  std::string examination() const {
    return fmt::format("3 {} {} {} {} {} {}", min_chars, languages, spam_threshold, similarity < 1, strip_quotes,
                       personal_data);
  }
  bool keeps_language(const std::string& language) const {
    return languages == ",," || languages.find("," + language + ",") != std::string::npos;
  }

  size_t min_chars;
  std::string languages;
  double spam_threshold, similarity;
  bool strip_quotes, personal_data;
  uint64_t max_feed_posts, max_template_posts, max_posts_per_author, memory_bytes;
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
  if (is_spam(candidate.text, rules.spam_threshold)) {
    candidate.dropped = DropReason::kSpam;
    return;
  }
  const std::string normalized = normalize_for_duplicates(candidate.text);
  candidate.exact_hash = hash64(normalized.empty() ? candidate.text : normalized);
  candidate.template_hash = template_hash(normalized);
  candidate.has_signature = rules.similarity < 1 && normalized.size() >= kMinNearDuplicateBytes;
  if (candidate.has_signature) candidate.signature = minhash_signature(normalized);
  if (rules.personal_data) candidate.text = replace_personal_data(candidate.text, &candidate.personal_data);
}

struct TextRange {
  uint64_t offset, bytes;
};

// Where the texts of deleted posts lie in a part's file that are not zeros yet.
std::vector<TextRange> texts_of(const DeletedIds& deleted, const Workspace& workspace, const Part& part) {
  const MappedFile texts(part_file(workspace, part, "texts")), records(part_file(workspace, part, "records"));
  std::vector<TextRange> found;
  for (size_t i = 0; i < records.bytes().size() / sizeof(Record); ++i) {
    Record record;
    std::memcpy(&record, records.bytes().data() + i * sizeof(Record), sizeof record);
    const CleanedPost& post = record.post;
    const uint64_t names = uint64_t{post.id_bytes} + post.author_bytes, bytes = names + post.text_bytes;
    const std::string_view all = texts.text().substr(std::min<uint64_t>(post.offset, texts.text().size()), bytes);
    if (all.size() < bytes) continue;  // a damaged file, which no merge takes
    const std::string id(all.substr(0, post.id_bytes)), author(all.substr(post.id_bytes, post.author_bytes));
    if (!deleted.posts.contains(id) && !deleted.authors.contains(author)) continue;
    if (all.find_first_not_of('\0', names) != std::string_view::npos)
      found.push_back({post.offset + names, post.text_bytes});
  }
  return found;
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
  std::optional<DropReason> reason(const std::string& id, const std::string& author) const {
    if (deleted_posts_.contains(id) || deleted_authors_.contains(author)) return DropReason::kDeleted;
    if (opted_out_.contains(author)) return DropReason::kOptedOut;
    return {};
  }

 private:
  std::unordered_set<std::string> deleted_posts_, deleted_authors_, opted_out_;
};

// The order of ingest must not show: equal times are ordered by id.
class ComesEarlier {
 public:
  explicit ComesEarlier(const MappedFile& texts) : texts_(&texts) {}
  bool operator()(const Record& a, const Record& b) const {
    if (a.post.time_s != b.post.time_s) return a.post.time_s < b.post.time_s;
    return id(a) < id(b);
  }

 private:
  std::string_view id(const Record& record) const {
    return texts_->text().substr(record.post.offset, record.post.id_bytes);
  }

  const MappedFile* texts_;
};

// Which of the records, in the order of time, are kept. Of prepare.memory_mb the records have taken a half at most; the
// other half is for what one stage needs.
class Selection {
 public:
  Selection(const Rules& rules, const std::filesystem::path& folder, std::span<const Record> records,
            const PrepareProgress& progress, PrepareReport& report)
      : rules_(rules),
        folder_(folder),
        records_(records),
        progress_(progress),
        report_(report),
        dropped_(records.size()) {}

  void drop_feeds() {
    if (rules_.max_feed_posts == 0) return;
    keep_most(DropReason::kFeed, rules_.max_feed_posts, false, [feeds = find_feeds()](const Record& record) {
      return feeds.contains(record.author_hash) ? record.author_hash : 0;
    });
  }

  void drop_templates() {
    if (rules_.max_template_posts == 0) return;
    keep_most(DropReason::kTemplate, rules_.max_template_posts, true, [](const Record& record) {
      if (record.author_hash == 0 || record.template_hash == 0) return uint64_t{0};
      return record.author_hash ^ record.template_hash * 0x9e3779b97f4a7c15;
    });
  }

  void drop_exact_duplicates() {
    keep_most(DropReason::kExactDuplicate, 1, true, [](const Record& record) { return record.exact_hash; });
  }

  void drop_near_duplicates(std::span<const MinHashSignature> signatures) {
    RowProgress rows(progress_, stage(DropReason::kNearDuplicate), records_.size(), kNearDuplicatePasses + 2);
    const uint64_t order_bytes = stage_bytes() / 4;
    ScratchRows<uint64_t> order(order_bytes, folder_);
    for (size_t i = 0; i < records_.size(); ++i) {
      rows.next(i);
      if (is_compared(i)) order.push(records_[i].signature);
    }
    const std::vector<bool> duplicates = near_duplicates(signatures, order.rows(),
                                                         {.threshold = rules_.similarity,
                                                          .memory_bytes = stage_bytes() - order_bytes,
                                                          .folder = folder_,
                                                          .before_row = [&](uint64_t i) { rows.next(i); }});
    size_t next = 0;
    for (size_t i = 0; i < records_.size(); ++i) {
      rows.next(i);
      if (is_compared(i) && duplicates[next++]) drop(i, DropReason::kNearDuplicate);
    }
  }

  void drop_over_author_cap() {
    if (rules_.max_posts_per_author == 0) return;
    keep_most(DropReason::kAuthorCap, rules_.max_posts_per_author, false,
              [](const Record& record) { return record.author_hash; });
  }

  template <typename Visit>
  void for_each_kept(const Visit& visit) const {
    RowProgress rows(progress_, "kept", records_.size(), 1);
    for (size_t i = 0; i < records_.size(); ++i) {
      rows.next(i);
      if (!dropped_[i]) visit(records_[i]);
    }
  }

 private:
  struct KeyEntry {
    uint64_t key;
    int64_t rank;
    auto operator<=>(const KeyEntry&) const = default;
  };

  static std::string stage(DropReason reason) { return kDropNames[static_cast<size_t>(reason)]; }
  uint64_t stage_bytes() const { return rules_.memory_bytes / 2; }
  bool is_compared(size_t i) const { return !dropped_[i] && records_[i].signature != kNoSignature; }

  void drop(size_t i, DropReason reason) {
    dropped_[i] = true;
    ++report_.dropped[static_cast<size_t>(reason)];
  }

  std::unordered_set<uint64_t> find_feeds() const {
    struct AuthorEntry {
      uint64_t author;
      PostManner manner;
      bool operator<(const AuthorEntry& other) const { return author < other.author; }
    };
    RowProgress rows(progress_, "accounts", records_.size(), 2);
    ExternalSort<AuthorEntry> entries(stage_bytes(), folder_);
    for (size_t i = 0; i < records_.size(); ++i) {
      rows.next(i);
      if (records_[i].author_hash != 0) entries.push({records_[i].author_hash, records_[i].manner});
    }
    std::unordered_set<uint64_t> feeds;
    uint64_t author = 0, row = 0;
    MannerCounts counts;
    const auto close = [&] {
      if (counts.is_feed()) feeds.insert(author);
      counts = {};
    };
    entries.drain([&](const AuthorEntry& entry) {
      rows.next(row++);
      if (entry.author != author) close();
      author = entry.author;
      counts.add(entry.manner);
    });
    close();
    return feeds;
  }

  // Of the posts with the same key keeps the first `most` in the order of time, or the last; those without key (0) all.
  template <typename Key>
  void keep_most(DropReason reason, uint64_t most, bool first, const Key& key) {
    RowProgress rows(progress_, stage(reason), records_.size(), 2);
    ExternalSort<KeyEntry> entries(stage_bytes(), folder_);
    for (size_t i = 0; i < records_.size(); ++i) {
      rows.next(i);
      if (const uint64_t k = dropped_[i] ? 0 : key(records_[i]); k != 0)
        entries.push({k, first ? static_cast<int64_t>(i) : -static_cast<int64_t>(i)});
    }
    uint64_t last = 0, count = 0, row = 0;
    entries.drain([&](const KeyEntry& entry) {
      rows.next(row++);
      count = entry.key == last ? count + 1 : 1;
      last = entry.key;
      if (count > most) drop(static_cast<size_t>(std::abs(entry.rank)), reason);
    });
  }

  const Rules& rules_;
  const std::filesystem::path& folder_;
  std::span<const Record> records_;
  const PrepareProgress& progress_;
  PrepareReport& report_;
  std::vector<bool> dropped_;
};

class Cleaner {
 public:
  Cleaner(const Workspace& workspace, const Config& config, const ControlDb& control,
          const std::filesystem::path& text_file, const std::filesystem::path& signature_file,
          const PrepareProgress& progress, PrepareReport& report)
      : workspace_(workspace),
        files_(PostStore(workspace.posts()).files()),
        rules_(config),
        tombstone_version_(control.tombstone_version()),
        exclusions_(control),
        text_file_(text_file),
        signature_file_(signature_file),
        folder_(text_file.parent_path()),
        progress_(progress),
        report_(report),
        texts_(text_file_),
        signatures_(signature_file_),
        records_(rules_.memory_bytes, folder_, ComesEarlier(mapped_texts_)) {}

  CleanedPosts run(uint32_t parts) {
    report_.tombstone_version = tombstone_version_;
    if (parts == 0) read_posts([this](const Record& record) { add(record); });
    else read_parts(parts);
    map_texts();
    signatures_.flush();
    ScratchRows<Record> records = sorted_records();
    Selection selection(rules_, folder_, records.rows(), progress_, report_);
    selection.drop_feeds();
    selection.drop_templates();
    selection.drop_exact_duplicates();
    drop_near_duplicates(selection);
    selection.drop_over_author_cap();
    return cleaned_posts(selection);
  }

  void run_part(const Part& part) {
    PartManifest manifest;
    manifest.inputs = inputs();
    std::vector<std::filesystem::path> mine;
    for (size_t i = part.index - 1; i < files_.size(); i += part.count) mine.push_back(files_[i]);
    files_ = std::move(mine);
    BufferedFile records(part_file(workspace_, part, "records"));
    read_posts([&](const Record& record) { records.append(&record, sizeof record); });
    for (BufferedFile* file : {&texts_, &signatures_, &records}) file->finish();
    manifest.posts = report_.posts;
    manifest.dropped = report_.dropped;
    manifest.languages = languages_;
    write_part_manifest(workspace_, part, manifest);
  }

 private:
  using TakeRecord = std::function<void(const Record&)>;

  // Segments keep their names when deleted posts are purged from them.
  std::string inputs() const {
    std::string text = rules_.examination();
    for (const std::filesystem::path& file : files_) text += "\n" + file.filename().string();
    return sha256_hex(text);
  }

  void read_parts(uint32_t count) {
    std::string inputs;
    for (Part part{1, count}; part.index <= count; ++part.index) {
      end_prepare_if_stopped();
      const std::unique_ptr<FileLock> lock = lock_part(part);
      const PartManifest manifest = read_part_manifest(workspace_, part);
      if (part.index == 1) inputs = manifest.inputs;
      if (manifest.inputs != inputs)
        throw DataError(fmt::format("{}: made from other posts or with other settings than part 1; run all parts again",
                                    part_file(workspace_, part, "json").string()));
      add_part(part, manifest);
      progress_("parts", part.index, count);
    }
  }

  // While a part is read, no deletion overwrites texts in it. Null where there are no parts, which its manifest tells.
  std::unique_ptr<FileLock> lock_part(const Part& part) const {
    if (!std::filesystem::exists(parts_folder(workspace_))) return nullptr;
    return std::make_unique<FileLock>(part_file(workspace_, part, "lock"), "prepare --merge");
  }

  void add_part(const Part& part, const PartManifest& manifest) {
    report_.posts += manifest.posts;
    for (size_t reason = 0; reason < kDropReasons; ++reason) report_.dropped[reason] += manifest.dropped[reason];
    const MappedFile texts(part_file(workspace_, part, "texts")), signatures(part_file(workspace_, part, "signatures")),
        records(part_file(workspace_, part, "records"));
    texts_.append(texts.bytes().data(), texts.bytes().size());
    signatures_.append(signatures.bytes().data(), signatures.bytes().size());
    for (size_t i = 0; i < records.bytes().size() / sizeof(Record); ++i) {
      Record record;
      std::memcpy(&record, records.bytes().data() + i * sizeof(Record), sizeof record);
      if (drop_excluded(record.post, texts.text())) continue;
      record.post.offset += offset_;
      record.language = language_index(manifest.languages.at(record.language));
      if (record.signature != kNoSignature) record.signature += signature_count_;
      add(record);
    }
    offset_ += texts.bytes().size();
    signature_count_ += signatures.bytes().size() / sizeof(MinHashSignature);
  }

  // Deletions and opt-outs since the parts were made.
  bool drop_excluded(const CleanedPost& post, std::string_view texts) {
    const std::string id(texts.substr(post.offset, post.id_bytes)),
        author(texts.substr(post.offset + post.id_bytes, post.author_bytes));
    const std::optional<DropReason> reason = exclusions_.reason(id, author);
    if (reason) ++report_.dropped[static_cast<size_t>(*reason)];
    return reason.has_value();
  }

  void read_posts(const TakeRecord& take_record) {
    OrderedPipeline<Batch>({[this](Batch& batch) { return next_lines(batch); },
                            [this](Batch& batch) { examine_batch(batch); },
                            [&](const Batch& batch) { take(batch, take_record); }})
        .run(compute_threads());
  }

  bool next_lines(Batch& batch) {
    end_prepare_if_stopped();
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
      candidate.dropped = exclusions_.reason(candidate.post.id, candidate.post.author);
      examine(rules_, candidate);
    }
  }

  void take(const Batch& batch, const TakeRecord& take_record) {
    for (const Candidate& candidate : batch.candidates) {
      ++report_.posts;
      if (candidate.dropped) ++report_.dropped[static_cast<size_t>(*candidate.dropped)];
      else keep(candidate, take_record);
    }
    progress_("clean", report_.posts, 0);
  }

  void keep(const Candidate& candidate, const TakeRecord& take_record) {
    const Post& post = candidate.post;
    Record record{};
    record.post = {post.time_s, offset_, static_cast<uint32_t>(post.id.size()),
                   static_cast<uint32_t>(post.author.size()), static_cast<uint32_t>(candidate.text.size())};
    record.exact_hash = candidate.exact_hash;
    record.template_hash = candidate.template_hash;
    record.author_hash = post.author.empty() ? 0 : hash64(post.author);
    record.language = language_index(candidate.language);
    record.manner = manner_of(post);
    for (size_t kind = 0; kind < kPersonalDataKinds; ++kind)
      record.personal_data[kind] = static_cast<uint16_t>(std::min<uint64_t>(candidate.personal_data[kind], 65535));
    record.signature = candidate.has_signature ? signature_count_++ : kNoSignature;
    if (candidate.has_signature) signatures_.append(candidate.signature.data(), sizeof candidate.signature);
    take_record(record);
    for (const std::string* part : {&post.id, &post.author, &candidate.text}) {
      texts_.append(part->data(), part->size());
      offset_ += part->size();
    }
  }

  uint32_t language_index(const std::string& language) {
    const auto found = std::find(languages_.begin(), languages_.end(), language);
    if (found != languages_.end()) return static_cast<uint32_t>(found - languages_.begin());
    languages_.push_back(language);
    return static_cast<uint32_t>(languages_.size() - 1);
  }

  void add(const Record& record) {
    if (records_.is_full()) map_texts();  // to sort a run takes the ids of those before
    records_.push(record);
  }

  void map_texts() {
    texts_.flush();
    mapped_texts_ = MappedFile(text_file_);
  }

  ScratchRows<Record> sorted_records() {
    RowProgress rows(progress_, "sort", records_.size(), 1);
    uint64_t row = 0;
    return records_.take([&](const Record&) { rows.next(row++); });
  }

  void drop_near_duplicates(Selection& selection) {
    {
      const MappedFile file(signature_file_);
      selection.drop_near_duplicates(
          {reinterpret_cast<const MinHashSignature*>(file.bytes().data()), signature_count_});
    }
    std::filesystem::remove(signature_file_);
  }

  CleanedPosts cleaned_posts(const Selection& selection) {
    CleanedPosts cleaned{std::move(mapped_texts_), {rules_.memory_bytes / 2, folder_}, {}};
    selection.for_each_kept([&](const Record& record) {
      cleaned.rows.push(record.post);
      ++report_.languages[languages_[record.language]];
      for (size_t kind = 0; kind < kPersonalDataKinds; ++kind)
        report_.personal_data[kind] += record.personal_data[kind];
    });
    cleaned.posts = cleaned.rows.rows();
    return cleaned;
  }

  const Workspace& workspace_;
  std::vector<std::filesystem::path> files_;
  std::unique_ptr<SegmentReader> reader_;
  size_t next_file_ = 0;
  Rules rules_;
  uint64_t tombstone_version_;  // read before the exclusions: a deletion in between is masked, never lost
  Exclusions exclusions_;
  std::filesystem::path text_file_, signature_file_, folder_;
  const PrepareProgress& progress_;
  PrepareReport& report_;
  std::vector<std::string> languages_;
  BufferedFile texts_, signatures_;
  MappedFile mapped_texts_;
  ExternalSort<Record, ComesEarlier> records_;
  uint64_t offset_ = 0, signature_count_ = 0;
};

}  // namespace

CleanedPosts clean_posts(const Workspace& workspace, const Config& config, const ControlDb& control,
                         const std::filesystem::path& text_file, uint32_t parts, const PrepareProgress& progress,
                         PrepareReport& report) {
  return Cleaner(workspace, config, control, text_file, text_file.string() + ".signatures", progress, report)
      .run(parts);
}

void clean_part(const Workspace& workspace, const Config& config, const ControlDb& control, const Part& part,
                const PrepareProgress& progress, PrepareReport& report) {
  std::filesystem::remove(part_file(workspace, part, "json"));
  Cleaner(workspace, config, control, part_file(workspace, part, "texts"), part_file(workspace, part, "signatures"),
          progress, report)
      .run_part(part);
}

void purge_part(const Workspace& workspace, const DeletedIds& deleted, const Part& part) {
  if (!std::filesystem::exists(part_file(workspace, part, "json")) ||
      !std::filesystem::exists(part_file(workspace, part, "records")))
    return remove_part(workspace, part);
  const std::vector<TextRange> ranges = texts_of(deleted, workspace, part);
  if (ranges.empty()) return;
  PartManifest manifest;
  try {
    manifest = read_part_manifest(workspace, part);
  } catch (const DataError&) {
    return remove_part(workspace, part);
  }
  const std::filesystem::path path = part_file(workspace, part, "texts");
  std::fstream texts(path, std::ios::in | std::ios::out | std::ios::binary);
  for (const TextRange& text : ranges)
    texts.seekp(static_cast<std::streamoff>(text.offset)) << std::string(text.bytes, '\0');
  texts.close();
  if (!texts) throw IoError(fmt::format("{}: texts of deleted posts cannot be overwritten", path.string()));
  sync_path(path);
  write_part_manifest(workspace, part, manifest);
}

}  // namespace starling

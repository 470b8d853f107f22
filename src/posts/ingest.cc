#include "posts/ingest.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>

#include "core/error.h"
#include "core/stop.h"
#include "posts/kafka_rows.h"
#include "posts/quarantine.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kProgressRows = 256;

class Ingestion {
 public:
  Ingestion(PostStore& store, const fs::path& posts_folder, const IngestOptions& options)
      : store_(store), options_(options), quarantine_(posts_folder) {}

  IngestReport run(const std::vector<fs::path>& files) {
    for (const fs::path& file : files) {
      if (report_.interrupted) break;
      ++report_.files;
      read_file(file);
    }
    commit();
    return std::move(report_);
  }

 private:
  void read_file(const fs::path& file) {
    uint64_t consumed = 0;
    try {
      const auto reader = RowReader::open(file, options_.rows);
      reader_ = reader.get();
      for (Row row; !report_.interrupted && reader->next(row);) {
        take(file.string(), row);
        consumed = reader->consumed_bytes();
        if (options_.progress && report_.rows % kProgressRows == 0)
          options_.progress(consumed_ + consumed, report_.rows, report_.bad);
        report_.interrupted = stop_requested();
      }
      report_.interrupted = stop_requested();  // a queue that waits ends then
      if (reader->is_queue()) commit();
    } catch (const DataError& error) {  // a damaged file must not keep the others out
      fail(file, error.what());
    } catch (const IoError& error) {
      if (storing_) throw;
      fail(file, error.what());
    }
    reader_ = nullptr;
    consumed_ += consumed;
  }

  void take(const std::string& file, Row& row) {
    ++report_.rows;
    if (!row.problem.empty()) {
      ++report_.bad;
      if (report_.problems.size() < IngestReport::kMaxProblems)
        report_.problems.push_back(fmt::format("{}:{}: {}", file, row.line, row.problem));
      if (names_deleted(row.raw)) return;
      storing_ = true;
      quarantine_.add(file, row);
      storing_ = false;
      return;
    }
    if (row.kind.kind == RecordKind::kOther) {
      ++report_.other;
      return;
    }
    if (row.kind.kind == RecordKind::kDeletion) {
      ++report_.deletions;
      if (options_.on_deletion) options_.on_deletion(row.kind.deleted_kind, row.kind.deleted_id);
      return;
    }
    if (row.post.time_s == 0) ++report_.without_time;
    if (options_.is_deleted && options_.is_deleted(row.post)) {
      ++report_.deleted;
    } else if (store_.contains(row.post.id)) {
      ++report_.known;
    } else {
      batch_bytes_ += row.post.text.size();
      batch_.push_back(std::move(row.post));
      if (batch_.size() >= options_.segment_posts || batch_bytes_ >= options_.segment_bytes) commit();
    }
  }

  bool names_deleted(const std::string& raw) const {
    if (!options_.names_deleted) return false;
    const auto kept = std::string_view(raw).substr(0, Quarantine::kMaxRawBytes);
    return options_.names_deleted(possible_ids(kept, options_.rows.author_key));
  }

  void commit() {
    storing_ = true;
    quarantine_.sync();
    const size_t read = batch_.size();
    const uint64_t added = store_.append_segment(std::move(batch_));
    storing_ = false;
    report_.added += added;
    report_.known += read - added;  // twice in one batch
    batch_.clear();
    batch_bytes_ = 0;
    if (reader_ != nullptr) reader_->acknowledge();
  }

  void fail(const fs::path& file, const std::string& reason) {
    const bool named = reason.find(file.string()) != std::string::npos;
    report_.failed_files.push_back(named ? reason : fmt::format("{}: {}", file.string(), reason));
  }

  PostStore& store_;
  const IngestOptions& options_;
  Quarantine quarantine_;
  IngestReport report_;
  RowReader* reader_ = nullptr;  // of the file being read
  std::vector<Post> batch_;
  size_t batch_bytes_ = 0;
  uint64_t consumed_ = 0;  // bytes of the files before
  bool storing_ = false;   // an IoError now is the store's, not the file's
};

}  // namespace

std::vector<fs::path> list_sources(const std::vector<std::string>& sources, const std::string& include) {
  std::vector<fs::path> files;
  for (const std::string& source : sources) {
    if (source == "-" || is_kafka_url(source) || fs::is_regular_file(source) || fs::is_fifo(source)) {
      files.emplace_back(source);
      continue;
    }
    if (!fs::is_directory(source)) throw IoError(source + ": no such file or folder");
    std::vector<fs::path> inside;
    for (const auto& entry : fs::recursive_directory_iterator(source)) {
      const std::string name = entry.path().filename();
      if (entry.is_regular_file() && !name.starts_with('.') && fnmatch(include.c_str(), name.c_str(), 0) == 0)
        inside.push_back(entry.path());
    }
    std::sort(inside.begin(), inside.end());
    files.insert(files.end(), inside.begin(), inside.end());
  }
  return files;
}

IngestReport ingest(PostStore& store, const fs::path& posts_folder, const std::vector<fs::path>& files,
                    const IngestOptions& options) {
  store.append_segment({});  // takes the lock before anything is read
  return Ingestion(store, posts_folder, options).run(files);
}

}  // namespace starling

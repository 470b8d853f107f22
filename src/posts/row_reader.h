// Rows of a foreign file, one post or one problem at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "posts/byte_stream.h"
#include "posts/field_map.h"
#include "posts/post.h"
#include "posts/record_kind.h"

namespace starling {

enum class RowFormat { kAuto, kJsonLines, kCsv, kMail, kXArchive, kMastodon, kBluesky, kReddit };
RowFormat parse_row_format(const std::string& name);  // one of row_format_names(); throws ConfigError
std::string row_format_names();                       // "auto, jsonl, csv, mail, ..."

struct Row {
  uint64_t line = 0;    // where it starts in the file, from 1
  std::string raw;      // as read, for the quarantine; at most the longest row allowed
  bool cut = false;     // the row was longer than that
  std::string problem;  // why the row cannot be read; empty when it can
  RecordKind kind;      // only kPost has a post
  Post post;
};

struct RowOptions {
  RowFormat format = RowFormat::kAuto;
  FieldMap map;
  bool derive_ids = false;
  size_t max_row_bytes = 1 << 20;
  std::string author_key;  // of the pseudonyms of mail authors
};

// Records of one format, each a JSON text: fills what row.raw says.
class JsonRecords {
 public:
  JsonRecords(const RowOptions& options, RowFormat format);
  ~JsonRecords();
  void read(Row& row);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class RowReader {
 public:
  virtual ~RowReader() = default;
  // False at the end. Throws IoError or DataError when the file itself cannot be read further.
  virtual bool next(Row& row) = 0;
  virtual uint64_t consumed_bytes() const = 0;

  // A queue gives what it has now and then ends. What was read is read again until it is acknowledged.
  virtual bool is_queue() const { return false; }
  virtual void acknowledge() {}  // every row so far is stored

  // kAuto: a platform by the first bytes (unless fields are mapped), else by the name (.jsonl .ndjson .json .csv .tsv
  // .mbox .eml, also before .gz and .zst), else by the first bytes. kafka://... is a queue, see kafka_rows.h.
  static std::unique_ptr<RowReader> open(const std::filesystem::path& path, const RowOptions& options);
};

}  // namespace starling

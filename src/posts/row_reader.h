// Rows of a foreign file, one post or one problem at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "posts/byte_stream.h"
#include "posts/field_map.h"
#include "posts/post.h"

namespace starling {

enum class RowFormat { kAuto, kJsonLines, kCsv, kMail };
RowFormat parse_row_format(const std::string& name);  // auto, jsonl, csv, mail; throws ConfigError

struct Row {
  uint64_t line = 0;    // where it starts in the file, from 1
  std::string raw;      // as read, for the quarantine; at most the longest row allowed
  bool cut = false;     // the row was longer than that
  std::string problem;  // why there is no post; empty when there is one
  Post post;
};

struct RowOptions {
  RowFormat format = RowFormat::kAuto;
  FieldMap map;
  bool derive_ids = false;
  size_t max_row_bytes = 1 << 20;
  std::string author_key;  // of the pseudonyms of mail authors
};

class RowReader {
 public:
  virtual ~RowReader() = default;
  // False at the end. Throws IoError or DataError when the file itself cannot be read further.
  virtual bool next(Row& row) = 0;
  virtual uint64_t consumed_bytes() const = 0;

  // kAuto: by the name (.jsonl .ndjson .json .csv .tsv .mbox .eml, also before .gz and .zst), else by the first bytes.
  static std::unique_ptr<RowReader> open(const std::filesystem::path& path, const RowOptions& options);
};

}  // namespace starling

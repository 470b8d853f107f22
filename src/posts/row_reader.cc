#include "posts/row_reader.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/error.h"
#include "posts/csv.h"
#include "posts/json_items.h"
#include "posts/kafka_rows.h"
#include "posts/mail.h"
#include "posts/platform_posts.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

using simdjson::dom::element;

constexpr size_t kSniffBytes = 4096;

constexpr std::array<std::pair<RowFormat, const char*>, 8> kFormatNames = {{{RowFormat::kAuto, "auto"},
                                                                            {RowFormat::kJsonLines, "jsonl"},
                                                                            {RowFormat::kCsv, "csv"},
                                                                            {RowFormat::kMail, "mail"},
                                                                            {RowFormat::kXArchive, "x-archive"},
                                                                            {RowFormat::kMastodon, "mastodon"},
                                                                            {RowFormat::kBluesky, "bluesky"},
                                                                            {RowFormat::kReddit, "reddit"}}};

constexpr std::pair<Platform, RowFormat> kPlatformFormats[] = {{Platform::kXArchive, RowFormat::kXArchive},
                                                               {Platform::kMastodon, RowFormat::kMastodon},
                                                               {Platform::kBluesky, RowFormat::kBluesky},
                                                               {Platform::kReddit, RowFormat::kReddit}};

// A stream that gives its first bytes twice: once to look at, once to read.
class PeekedStream : public ByteStream {
 public:
  explicit PeekedStream(std::unique_ptr<ByteStream> stream) : stream_(std::move(stream)), first_(kSniffBytes, '\0') {
    first_.resize(stream_->read(first_.data(), first_.size()));
  }
  std::string_view first() const { return first_; }
  size_t read(char* buffer, size_t size) override {
    if (given_ == first_.size()) return stream_->read(buffer, size);
    const size_t count = std::min(size, first_.size() - given_);
    std::memcpy(buffer, first_.data() + given_, count);
    given_ += count;
    return count;
  }
  uint64_t consumed_bytes() const override { return stream_->consumed_bytes(); }

 private:
  std::unique_ptr<ByteStream> stream_;
  std::string first_;
  size_t given_ = 0;
};

RowFormat format_of_name(fs::path name) {
  for (const char* compressed : {".gz", ".zst"})
    if (name.extension() == compressed) name.replace_extension();
  const std::string extension = name.extension();
  if (extension == ".jsonl" || extension == ".ndjson" || extension == ".json") return RowFormat::kJsonLines;
  if (extension == ".csv" || extension == ".tsv") return RowFormat::kCsv;
  if (extension == ".mbox" || extension == ".eml") return RowFormat::kMail;
  return RowFormat::kAuto;
}

RowFormat format_of(Platform platform) {
  for (const auto& [known, format] : kPlatformFormats)
    if (known == platform) return format;
  return RowFormat::kAuto;
}

Platform platform_of(RowFormat format) {
  for (const auto& [platform, known] : kPlatformFormats)
    if (known == format) return platform;
  return Platform::kNone;
}

RowFormat format_of_content(std::string_view first) {
  first.remove_prefix(std::min(first.find_first_not_of("\xef\xbb\xbf \t\r\n"), first.size()));
  if (first.starts_with('{') || first.empty()) return RowFormat::kJsonLines;
  if (first.starts_with("From ")) return RowFormat::kMail;
  const std::string_view line = first.substr(0, first.find('\n'));
  const size_t colon = line.find(':');
  const bool header = colon != std::string_view::npos && colon > 0 &&
                      line.substr(0, colon).find_first_of(" ,;\t\"") == std::string_view::npos;
  return header ? RowFormat::kMail : RowFormat::kCsv;
}

// Fills row.post or row.problem.
template <typename Read>
void read_post(Row& row, const Read& read) {
  try {
    row.post = read();
  } catch (const DataError& error) {
    row.problem = error.what();
  }
}

std::string too_long(size_t max_bytes) { return fmt::format("longer than {} bytes (ingest.max_row_bytes)", max_bytes); }

class JsonRows : public RowReader {
 public:
  JsonRows(std::unique_ptr<ByteStream> stream, const RowOptions& options, RowFormat format)
      : stream_(std::move(stream)),
        lines_(*stream_, options.max_row_bytes),
        max_bytes_(options.max_row_bytes),
        records_(options, format) {}

  bool next(Row& row) override {
    LineReader::Line line;
    do {
      if (!lines_.next(line)) return false;
    } while (line.text.find_first_not_of(" \t") == std::string_view::npos);
    row = {.line = line.number, .raw = std::string(line.text), .cut = line.too_long};
    if (line.number == 1 && row.raw.starts_with("\xef\xbb\xbf")) row.raw.erase(0, 3);
    if (line.too_long) row.problem = too_long(max_bytes_);
    else records_.read(row);
    return true;
  }
  uint64_t consumed_bytes() const override { return stream_->consumed_bytes(); }

 private:
  std::unique_ptr<ByteStream> stream_;
  LineReader lines_;
  size_t max_bytes_;
  JsonRecords records_;
};

// The records of one JSON list.
class ListRows : public RowReader {
 public:
  ListRows(std::unique_ptr<ByteStream> stream, const RowOptions& options, RowFormat format)
      : stream_(std::move(stream)),
        items_(*stream_, list_opening(platform_of(format)), options.max_row_bytes),
        max_bytes_(options.max_row_bytes),
        records_(options, format) {}

  bool next(Row& row) override {
    JsonItems::Item item;
    if (!items_.next(item)) return false;
    row = {.line = item.line, .raw = std::move(item.text), .cut = item.too_long};
    if (item.too_long) row.problem = too_long(max_bytes_);
    else records_.read(row);
    return true;
  }
  uint64_t consumed_bytes() const override { return stream_->consumed_bytes(); }

 private:
  std::unique_ptr<ByteStream> stream_;
  JsonItems items_;
  size_t max_bytes_;
  JsonRecords records_;
};

class CsvRows : public RowReader {
 public:
  CsvRows(std::unique_ptr<ByteStream> stream, const RowOptions& options)
      : stream_(std::move(stream)), records_(*stream_, options.max_row_bytes), options_(options) {}

  bool next(Row& row) override {
    CsvReader::Record record;
    if (!records_.next(record)) return false;
    row = {.line = record.line,
           .raw = std::move(record.raw),
           .cut = record.too_long,
           .problem = std::move(record.problem)};
    const auto lookup = [&](const std::string& column) -> std::vector<std::string> {
      const auto found = std::find(records_.header().begin(), records_.header().end(), column);
      if (found == records_.header().end()) return {};
      return {record.fields[static_cast<size_t>(found - records_.header().begin())]};
    };
    if (row.problem.empty()) read_post(row, [&] { return options_.map.read(lookup, options_.derive_ids); });
    return true;
  }
  uint64_t consumed_bytes() const override { return stream_->consumed_bytes(); }

 private:
  std::unique_ptr<ByteStream> stream_;
  CsvReader records_;
  RowOptions options_;
};

class MailRows : public RowReader {
 public:
  MailRows(std::unique_ptr<ByteStream> stream, const RowOptions& options)
      : stream_(std::move(stream)), messages_(*stream_, options.max_row_bytes), options_(options) {}

  bool next(Row& row) override {
    MailReader::Message message;
    if (!messages_.next(message)) return false;
    row = {.line = message.line, .raw = std::move(message.raw), .cut = message.too_long};
    if (message.too_long) row.problem = too_long(options_.max_row_bytes);
    else read_post(row, [&] { return post_from_mail(row.raw, options_.author_key); });
    return true;
  }
  uint64_t consumed_bytes() const override { return stream_->consumed_bytes(); }

 private:
  std::unique_ptr<ByteStream> stream_;
  MailReader messages_;
  RowOptions options_;
};

}  // namespace

struct JsonRecords::State {
  RowOptions options;
  Platform platform;
  simdjson::dom::parser parser;
};

JsonRecords::JsonRecords(const RowOptions& options, RowFormat format)
    : state_(new State{options, platform_of(format), simdjson::dom::parser()}) {}
JsonRecords::~JsonRecords() = default;

void JsonRecords::read(Row& row) {
  element root;
  if (const auto code = state_->parser.parse(row.raw).get(root); code != simdjson::SUCCESS) {
    row.problem = fmt::format("not JSON: {}", simdjson::error_message(code));
    return;
  }
  if (!root.is_object()) {
    row.problem = "not a JSON object";
    return;
  }
  row.kind = record_kind(state_->platform, root);
  if (row.kind.kind != RecordKind::kPost) return;
  const auto lookup = [&](const std::string& source) { return platform_values(state_->platform, root, source); };
  read_post(row, [&] { return state_->options.map.read(lookup, state_->options.derive_ids); });
}

RowFormat parse_row_format(const std::string& name) {
  const auto found =
      std::find_if(kFormatNames.begin(), kFormatNames.end(), [&](const auto& known) { return known.second == name; });
  if (found != kFormatNames.end()) return found->first;
  throw ConfigError(fmt::format("format \"{}\" is not one of {}", name, row_format_names()));
}

std::string row_format_names() {
  std::string names;
  for (const auto& [format, name] : kFormatNames) names += (names.empty() ? "" : ", ") + std::string(name);
  return names;
}

std::unique_ptr<RowReader> RowReader::open(const fs::path& path, const RowOptions& options) {
  if (is_kafka_url(path.string())) return open_kafka(path.string(), options);
  auto stream = std::make_unique<PeekedStream>(ByteStream::open(path));
  RowFormat format = options.format;
  // With a mapping the caller says where the fields of each line are.
  const Platform platform = platform_of(stream->first());
  if (format == RowFormat::kAuto && (options.map.is_default() || !list_opening(platform).empty()))
    format = format_of(platform);
  if (format == RowFormat::kAuto) format = format_of_name(path);
  if (format == RowFormat::kAuto) format = format_of_content(stream->first());
  if (format == RowFormat::kCsv) return std::make_unique<CsvRows>(std::move(stream), options);
  if (format == RowFormat::kMail) return std::make_unique<MailRows>(std::move(stream), options);
  if (!list_opening(platform_of(format)).empty()) return std::make_unique<ListRows>(std::move(stream), options, format);
  return std::make_unique<JsonRows>(std::move(stream), options, format);
}

}  // namespace starling

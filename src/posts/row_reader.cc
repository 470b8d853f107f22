#include "posts/row_reader.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "posts/csv.h"
#include "posts/mail.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

using simdjson::dom::element;

constexpr size_t kSniffBytes = 4096;

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

RowFormat format_of_content(std::string_view first) {
  first.remove_prefix(std::min(first.find_first_not_of(" \t\r\n"), first.size()));
  if (first.starts_with('{') || first.empty()) return RowFormat::kJsonLines;
  if (first.starts_with("From ")) return RowFormat::kMail;
  const std::string_view line = first.substr(0, first.find('\n'));
  const size_t colon = line.find(':');
  const bool header = colon != std::string_view::npos && colon > 0 &&
                      line.substr(0, colon).find_first_of(" ,;\t\"") == std::string_view::npos;
  return header ? RowFormat::kMail : RowFormat::kCsv;
}

void add_values(element value, std::vector<std::string>& values) {
  simdjson::dom::array list;
  std::string_view text;
  if (value.is_null()) return;
  if (value.get(text) == simdjson::SUCCESS) values.emplace_back(text);
  else if (value.get(list) == simdjson::SUCCESS)
    for (const element item : list) add_values(item, values);
  else if (!value.is_object()) values.push_back(simdjson::to_string(value));
}

// Follows "user.name"; a list on the way is followed for each of its elements.
void find_values(element value, std::string_view path, std::vector<std::string>& values) {
  simdjson::dom::array list;
  simdjson::dom::object object;
  element child;
  if (path.empty()) return add_values(value, values);
  if (value.get(list) == simdjson::SUCCESS) {
    for (const element item : list) find_values(item, path, values);
    return;
  }
  if (value.get(object) != simdjson::SUCCESS) return;
  if (object[path].get(child) == simdjson::SUCCESS) return add_values(child, values);
  const size_t dot = path.find('.');
  if (dot != std::string_view::npos && object[path.substr(0, dot)].get(child) == simdjson::SUCCESS)
    find_values(child, path.substr(dot + 1), values);
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
  JsonRows(std::unique_ptr<ByteStream> stream, const RowOptions& options)
      : stream_(std::move(stream)), lines_(*stream_, options.max_row_bytes), options_(options) {}

  bool next(Row& row) override {
    LineReader::Line line;
    do {
      if (!lines_.next(line)) return false;
    } while (line.text.find_first_not_of(" \t") == std::string_view::npos);
    row = {line.number, std::string(line.text), line.too_long, {}, {}};
    if (line.number == 1 && row.raw.starts_with("\xef\xbb\xbf")) row.raw.erase(0, 3);
    if (line.too_long) row.problem = too_long(options_.max_row_bytes);
    else read_post(row, [&] { return parse(row.raw); });
    return true;
  }
  uint64_t consumed_bytes() const override { return stream_->consumed_bytes(); }

 private:
  Post parse(const std::string& line) {
    element root;
    if (const auto code = parser_.parse(line).get(root); code != simdjson::SUCCESS)
      throw DataError(fmt::format("not JSON: {}", simdjson::error_message(code)));
    if (!root.is_object()) throw DataError("not a JSON object");
    const auto lookup = [&](const std::string& path) {
      std::vector<std::string> values;
      find_values(root, path, values);
      return values;
    };
    return options_.map.read(lookup, options_.derive_ids);
  }

  std::unique_ptr<ByteStream> stream_;
  LineReader lines_;
  RowOptions options_;
  simdjson::dom::parser parser_;
};

class CsvRows : public RowReader {
 public:
  CsvRows(std::unique_ptr<ByteStream> stream, const RowOptions& options)
      : stream_(std::move(stream)), records_(*stream_, options.max_row_bytes), options_(options) {}

  bool next(Row& row) override {
    CsvReader::Record record;
    if (!records_.next(record)) return false;
    row = {record.line, std::move(record.raw), record.too_long, std::move(record.problem), {}};
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
    row = {message.line, std::move(message.raw), message.too_long, {}, {}};
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

RowFormat parse_row_format(const std::string& name) {
  if (name == "auto") return RowFormat::kAuto;
  if (name == "jsonl") return RowFormat::kJsonLines;
  if (name == "csv") return RowFormat::kCsv;
  if (name == "mail") return RowFormat::kMail;
  throw ConfigError(fmt::format("format \"{}\" is not one of auto, jsonl, csv, mail", name));
}

std::unique_ptr<RowReader> RowReader::open(const fs::path& path, const RowOptions& options) {
  auto stream = std::make_unique<PeekedStream>(ByteStream::open(path));
  RowFormat format = options.format;
  if (format == RowFormat::kAuto) format = format_of_name(path);
  if (format == RowFormat::kAuto) format = format_of_content(stream->first());
  if (format == RowFormat::kCsv) return std::make_unique<CsvRows>(std::move(stream), options);
  if (format == RowFormat::kMail) return std::make_unique<MailRows>(std::move(stream), options);
  return std::make_unique<JsonRows>(std::move(stream), options);
}

}  // namespace starling

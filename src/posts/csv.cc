#include "posts/csv.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace starling {
namespace {

// A quote that is not closed within so many lines is a stray one.
constexpr size_t kMaxRecordLines = 1000;

char guess_separator(std::string_view header) {
  char best = ',';
  for (const char candidate : {';', '\t'})
    if (std::count(header.begin(), header.end(), candidate) > std::count(header.begin(), header.end(), best))
      best = candidate;
  return best;
}

// Whether a field is still open at the end of a line; `quoted`: whether one was open at its start.
bool leaves_quote_open(std::string_view line, bool quoted, char separator) {
  bool start = !quoted;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') ++i;
    else if (c == '"' && (quoted || start)) quoted = !quoted;
    start = !quoted && c == separator;
  }
  return quoted;
}

}  // namespace

CsvReader::CsvReader(ByteStream& stream, size_t max_bytes) : lines_(stream, max_bytes), max_bytes_(max_bytes) {
  LineReader::Line first;
  if (!lines_.next(first) || first.text.empty()) throw DataError("no header line");
  std::string_view text = first.text;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  separator_ = guess_separator(text);
  if (!parse(text, header_)) throw DataError("the header line has a quote that is not closed");
}

bool CsvReader::next_line(Line& line) {
  if (!unread_.empty()) {
    line = std::move(unread_.front());
    unread_.pop_front();
    return true;
  }
  LineReader::Line read;
  if (!lines_.next(read)) return false;
  line = {std::string(read.text), read.number, read.too_long};
  return true;
}

// False when a quoted field is still open at the end of `text`.
bool CsvReader::parse(std::string_view text, std::vector<std::string>& fields) const {
  fields.assign(1, {});
  bool quoted = false, start = true;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"') fields.back() += text[i++];
    else if (quoted && c == '"') quoted = false;
    else if (!quoted && start && c == '"') quoted = true;
    else if (!quoted && c == separator_) fields.emplace_back();
    else fields.back() += c;
    start = !quoted && c == separator_;
  }
  return !quoted;
}

bool CsvReader::next(Record& record) {
  Line line;
  do {
    if (!next_line(line)) return false;
  } while (line.text.empty());
  record = {{}, line.number, line.text, line.too_long, {}};
  const auto tell_length = [&] {
    record.problem = fmt::format("longer than {} bytes (ingest.max_row_bytes)", max_bytes_);
    record.raw.resize(max_bytes_);
    return true;
  };
  if (line.too_long) return tell_length();
  std::deque<Line> more;
  for (bool open = leaves_quote_open(line.text, false, separator_); open;) {
    Line following;
    if (more.size() >= kMaxRecordLines || record.raw.size() >= max_bytes_ || !next_line(following)) break;
    open = leaves_quote_open(following.text, true, separator_);
    record.raw += "\n" + following.text;
    record.too_long = following.too_long || record.raw.size() > max_bytes_;
    more.push_back(std::move(following));
  }
  if (!parse(record.raw, record.fields)) {
    record.problem = "a quote opened here is not closed";
    record.raw = line.text;
    record.too_long = false;
    for (; !more.empty(); more.pop_back()) unread_.push_front(std::move(more.back()));
  } else if (record.too_long) {
    return tell_length();
  } else if (record.fields.size() != header_.size()) {
    record.problem = fmt::format("{} fields where the header has {}", record.fields.size(), header_.size());
  }
  return true;
}

}  // namespace starling

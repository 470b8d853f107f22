#include "search/trec_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/time.h"
#include "posts/byte_stream.h"

namespace starling {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;
constexpr size_t kMaxLineBytes = 1 << 20;
constexpr uint64_t kFirstTweetId = uint64_t{1} << 40;
constexpr int64_t kTweetEpoch_ms =
    1288834974657;  // Twitter's snowflake ids: milliseconds since then, shifted by 22 bits

// Calls visit(line text) for each line that is not empty; whatever it throws gets file:line in front.
void for_each_line(const fs::path& path, const std::function<void(std::string_view, uint64_t number)>& visit) {
  const std::unique_ptr<ByteStream> stream = ByteStream::open(path);
  LineReader lines(*stream, kMaxLineBytes);
  for (LineReader::Line line; lines.next(line);) {
    if (line.text.empty()) continue;
    const auto where = [&] { return fmt::format("{}:{}", path.string(), line.number); };
    if (line.too_long)
      throw DataError(
          fmt::format("{}: the line has {} bytes, at most {} are read", where(), line.bytes, kMaxLineBytes));
    try {
      visit(line.text, line.number);
    } catch (const json::exception& error) {
      throw DataError(fmt::format("{}: {}", where(), error.what()));
    } catch (const DataError& error) {
      throw DataError(fmt::format("{}: {}", where(), error.what()));
    }
  }
}

std::string text_of(const json& value) { return value.is_string() ? value.get<std::string>() : dump_json(value); }

std::optional<uint64_t> parse_id(std::string_view text) {
  uint64_t id = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (text.empty() || code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return id;
}

uint64_t need_id(std::string_view text, std::string_view field) {
  const std::optional<uint64_t> id = parse_id(text);
  if (!id) throw DataError(fmt::format("{} is not a whole number: `{}`", field, text));
  return *id;
}

int64_t time_of(const json& row, const std::string& id) {
  if (row.contains("time")) {
    const std::optional<int64_t> time = parse_time(text_of(row["time"]));
    if (!time) throw DataError(fmt::format("time is not a time: `{}`", text_of(row["time"])));
    return *time;
  }
  const std::optional<uint64_t> number = parse_id(id);
  if (!number || *number < kFirstTweetId) return 0;
  return (static_cast<int64_t>(*number >> 22) + kTweetEpoch_ms) / 1000;
}

std::vector<Topic> read_json_topics(const fs::path& path) {
  std::vector<Topic> topics;
  for_each_line(path, [&](std::string_view text, uint64_t) {
    const json row = parse_json(text);
    Topic topic{text_of(row.at("_id")), row.at("text").get<std::string>(), std::nullopt};
    if (row.contains("max_id")) topic.max_id = need_id(text_of(row["max_id"]), "max_id");
    topics.push_back(std::move(topic));
  });
  return topics;
}

std::string trim(std::string text) {
  const auto space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && space(text.back())) text.pop_back();
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), space));
  return text;
}

// The text after <tag> up to the next '<', without a leading "Number:" or the like.
std::string element(std::string_view top, std::string_view tag, std::string_view label) {
  const std::string open = fmt::format("<{}>", tag);
  const size_t at = top.find(open);
  if (at == std::string_view::npos) return {};
  const size_t begin = at + open.size();
  std::string text = trim(std::string(top.substr(begin, std::min(top.find('<', begin), top.size()) - begin)));
  if (!label.empty() && text.starts_with(label)) text = trim(text.substr(label.size()));
  return text;
}

std::vector<Topic> read_sgml_topics(const fs::path& path, std::string_view file) {
  std::vector<Topic> topics;
  for (size_t at = file.find("<top>"); at != std::string_view::npos; at = file.find("<top>", at + 1)) {
    const size_t end = std::min(file.find("</top>", at), file.size());
    const std::string_view top = file.substr(at, end - at);
    const auto line = 1 + std::count(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    Topic topic{element(top, "num", "Number:"), element(top, "title", "Topic:"), std::nullopt};
    if (topic.text.empty()) topic.text = element(top, "query", "");
    if (topic.id.empty() || topic.text.empty())
      throw DataError(fmt::format("{}:{}: a <top> needs <num> and <title> or <query>", path.string(), line));
    const std::string max_id = element(top, "querytweettime", "");
    if (!max_id.empty()) topic.max_id = need_id(max_id, fmt::format("{}:{}: querytweettime", path.string(), line));
    topics.push_back(std::move(topic));
  }
  return topics;
}

}  // namespace

void read_corpus(const fs::path& path, const std::string& language, const std::function<void(const Post&)>& visit) {
  for_each_line(path, [&](std::string_view text, uint64_t) {
    const json row = parse_json(text);
    Post post;
    post.id = text_of(row.at("_id"));
    post.text = row.at("text").get<std::string>();
    post.language = language;
    post.time_s = time_of(row, post.id);
    if (!post.text.empty()) visit(post);
  });
}

std::vector<Topic> read_topics(const fs::path& path) {
  std::string head;
  {
    const std::unique_ptr<ByteStream> stream = ByteStream::open(path);
    LineReader lines(*stream, kMaxLineBytes);
    LineReader::Line line;
    while (head.empty() && lines.next(line)) head = trim(std::string(line.text));
  }
  return head.starts_with("<") ? read_sgml_topics(path, read_file(path)) : read_json_topics(path);
}

Qrels read_qrels(const fs::path& path) {
  Qrels qrels;
  for_each_line(path, [&](std::string_view text, uint64_t number) {
    std::istringstream in{std::string(text)};
    std::vector<std::string> columns;
    for (std::string column; in >> column;) columns.push_back(column);
    if (columns.size() != 3 && columns.size() != 4)
      throw DataError(
          fmt::format("{} columns; expected `query document grade` or `query 0 document grade`", columns.size()));
    int grade = 0;
    const std::string& last = columns.back();
    const auto [end, code] = std::from_chars(last.data(), last.data() + last.size(), grade);
    if (code != std::errc() || end != last.data() + last.size()) {
      if (number == 1) return;  // the header
      throw DataError(fmt::format("the grade is not a whole number: `{}`", last));
    }
    qrels[columns[0]][columns[columns.size() - 2]] = grade;
  });
  return qrels;
}

void write_run(const fs::path& path, const Run& run, const std::string& tag) {
  write_file_atomic(path, [&](const AppendBytes& append) {
    for (const auto& [query, documents] : run) {
      int rank = 0;
      for (const ScoredDocument& document : documents) {
        const std::string line =
            fmt::format("{} Q0 {} {} {:.6f} {}\n", query, document.id, ++rank, document.score, tag);
        append(line.data(), line.size());
      }
    }
  });
}

}  // namespace starling

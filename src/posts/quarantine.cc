#include "posts/quarantine.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>

#include "core/hash.h"
#include "core/json.h"
#include "posts/base64.h"
#include "posts/byte_stream.h"
#include "posts/json_text.h"
#include "posts/mail.h"
#include "posts/platform_posts.h"
#include "tokenizer/utf8.h"

namespace starling {
namespace {

// Control characters take six bytes each in JSON, in the row as in the name of its file.
constexpr size_t kMaxLineOfRow = 8 * Quarantine::kMaxRawBytes;

const std::string kDelimiters = "\t\r\n\"'<>{}[](),;";

// Cuts without splitting a character, so that a cut of valid text is valid text.
std::string_view cut(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  size_t end = max_bytes;
  while (end > max_bytes - 4 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

std::string quarantine_line(const std::string& file, const Row& row) {
  const std::string_view raw = cut(row.raw, Quarantine::kMaxRawBytes);
  std::string json = "{\"file\":";
  append_json_string(json, is_valid_utf8(file) ? file : base64_encode(file));
  json += fmt::format(",\"line\":{},\"reason\":", row.line);
  append_json_string(json, is_valid_utf8(row.problem) ? row.problem : base64_encode(row.problem));
  const bool text = is_valid_utf8(raw);
  if (row.cut || raw.size() < row.raw.size()) json += ",\"cut\":true";
  json += text ? ",\"raw\":" : ",\"raw_base64\":";
  append_json_string(json, text ? std::string(raw) : base64_encode(raw));
  return json + "}";
}

// `part` without what surrounds a number in JSON, and read as a JSON string where it has escapes.
std::string id_in(std::string_view part) {
  const size_t first = part.find_first_not_of(": "), last = part.find_last_not_of(": ");
  if (first == std::string_view::npos) return {};
  std::string id(part.substr(first, last - first + 1));
  if (id.find('\\') == std::string::npos) return id;
  const nlohmann::json read = try_parse_json('"' + id + '"');
  return read.is_string() ? read.get<std::string>() : id;
}

// The row that a line holds; all of the line where a kill has torn it.
std::string raw_of(std::string_view line) {
  const nlohmann::json json = try_parse_json(line);
  if (!json.is_object()) return std::string(line);
  const auto text = json.find("raw"), bytes = json.find("raw_base64");
  if (text != json.end() && text->is_string()) return text->get<std::string>();
  return bytes != json.end() && bytes->is_string() ? base64_decode(bytes->get<std::string>()) : std::string(line);
}

template <typename Visit>
void for_each_line(const std::filesystem::path& path, const Visit& visit) {
  const auto stream = ByteStream::open(path);
  LineReader lines(*stream, kMaxLineOfRow);
  for (LineReader::Line line; lines.next(line);) visit(line.text);
}

}  // namespace

std::vector<std::string> possible_ids(std::string_view raw, std::string_view author_key) {
  std::vector<std::string> ids;
  std::string did;  // the first: a record of Bluesky names its author before others
  const auto add_parts = [&](std::string_view text, const std::string& delimiters, const auto& add) {
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find_first_of(delimiters, begin), text.size());
      if (const std::string id = id_in(text.substr(begin, end - begin)); !id.empty()) add(id);
      begin = end + 1;
    }
  };
  const auto add_address = [&](const std::string& id) {
    if (id.find('@') != std::string::npos) ids.push_back(mail_author(id, author_key));
  };
  const auto add_id = [&](const std::string& id) {
    add_address(id);
    ids.push_back(id);
    if (did.empty() && id.starts_with("did:")) did = id;
  };
  add_parts(raw, kDelimiters, add_id);
  add_parts(raw, kDelimiters + " ", [&](const std::string& id) {
    add_id(id);
    if (!did.empty()) ids.push_back(bluesky_post_id(did, id));
    for (const char* kind : {kRedditComment, kRedditSubmission}) ids.push_back(kind + id);
  });
  if (raw.find(" at ") != std::string_view::npos) add_parts(with_at_signs(raw), kDelimiters + " ", add_address);
  return ids;
}

uint64_t purge_quarantine(const std::filesystem::path& posts_folder,
                          const std::function<bool(const std::string& id)>& deleted) {
  static std::mutex one_at_a_time;
  const std::lock_guard guard(one_at_a_time);
  const std::filesystem::path path = posts_folder / Quarantine::kFileName;
  if (!std::filesystem::exists(path)) return 0;
  const std::string author_key = read_or_make_author_key(posts_folder);
  const auto goes = [&](std::string_view line) {
    const std::vector<std::string> ids = possible_ids(raw_of(line), author_key);
    return std::any_of(ids.begin(), ids.end(), deleted);
  };
  uint64_t removed = 0;
  for_each_line(path, [&](std::string_view line) { removed += goes(line) ? 1 : 0; });
  if (removed == 0) return 0;
  write_file_atomic(path, [&](const AppendBytes& append) {
    for_each_line(path, [&](std::string_view line) {
      if (goes(line)) return;
      append(line.data(), line.size());
      append("\n", 1);
    });
  });
  return removed;
}

Quarantine::Quarantine(const std::filesystem::path& posts_folder) : path_(posts_folder / kFileName) {
  if (!std::filesystem::exists(path_)) return;
  for_each_line(path_, [&](std::string_view line) { known_.insert(hash64(line)); });
}

void Quarantine::add(const std::string& file, const Row& row) {
  const std::string line = quarantine_line(file, row);
  if (!known_.insert(hash64(line)).second) return;
  if (!file_) {
    file_ = std::make_unique<AppendFile>(path_);
    const bool torn = file_->size() > 0 && MappedFile(path_).text().back() != '\n';  // by a kill
    if (torn) file_->append("\n");
  }
  file_->append(line + "\n");
}

void Quarantine::sync() {
  if (file_) file_->sync();
}

}  // namespace starling

#include "posts/quarantine.h"

#include <fmt/format.h>

#include "core/hash.h"
#include "posts/base64.h"
#include "posts/byte_stream.h"
#include "posts/json_text.h"
#include "tokenizer/utf8.h"

namespace starling {
namespace {

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

}  // namespace

Quarantine::Quarantine(std::filesystem::path path) : path_(std::move(path)) {
  if (!std::filesystem::exists(path_)) return;
  const auto stream = ByteStream::open(path_);
  LineReader lines(*stream, 4 * kMaxRawBytes + 4096);
  for (LineReader::Line line; lines.next(line);) known_.insert(hash64(line.text));
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

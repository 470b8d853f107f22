#include <re2/re2.h>
#include <unicode/ucnv.h>

#include <algorithm>
#include <utility>

#include "posts/base64.h"
#include "posts/mail.h"
#include "posts/text_clean.h"
#include "tokenizer/utf8.h"

namespace starling {
namespace {

constexpr int kMaxDepth = 8;  // of multiparts within multiparts

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), text.begin(), [](char x, char y) {
           return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
         });
}

bool same_charset(std::string_view a, std::string_view b) {
  return a.size() == b.size() && starts_with_ignoring_case(a, b);
}

// A parameter of a header: `boundary` of `multipart/mixed; boundary="abc"`.
std::string parameter(std::string_view header, std::string_view name) {
  for (size_t at = header.find(';'); at != std::string_view::npos; at = header.find(';', at + 1)) {
    std::string_view rest = header.substr(at + 1);
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    if (!starts_with_ignoring_case(rest, name)) continue;
    rest.remove_prefix(name.size());
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    if (!rest.starts_with('=')) continue;
    rest.remove_prefix(1);
    if (rest.starts_with('"')) return std::string(rest.substr(1, std::min(rest.find('"', 1), rest.size()) - 1));
    return std::string(rest.substr(0, std::min(rest.find_first_of("; \t"), rest.size())));
  }
  return {};
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

// RFC 2045 section 6.7; in header words '_' is a space (RFC 2047 section 4.2).
std::string decode_quoted_printable(std::string_view text, bool header_word) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && header_word) {
      bytes += ' ';
    } else if (text[i] != '=') {
      bytes += text[i];
    } else if (i + 1 < text.size() && text[i + 1] == '\n') {
      ++i;  // a soft line break
    } else if (i + 2 < text.size() && text[i + 1] == '\r' && text[i + 2] == '\n') {
      i += 2;
    } else if (i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      bytes += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      bytes += '=';
    }
  }
  return bytes;
}

std::string convert(const std::string& bytes, const char* charset) {
  UErrorCode status = U_ZERO_ERROR;
  const int32_t size = static_cast<int32_t>(bytes.size());
  const int32_t needed = ucnv_convert("UTF-8", charset, nullptr, 0, bytes.data(), size, &status);
  if (status != U_BUFFER_OVERFLOW_ERROR) return {};
  std::string utf8(static_cast<size_t>(needed), '\0');
  status = U_ZERO_ERROR;
  ucnv_convert("UTF-8", charset, utf8.data(), needed, bytes.data(), size, &status);
  return U_FAILURE(status) ? std::string() : utf8;
}

// Many messages name no charset or a wrong one: valid UTF-8 is taken as such, the rest as Windows-1252.
std::string to_utf8(const std::string& bytes, const std::string& charset) {
  if (bytes.empty()) return bytes;
  const bool plain =
      charset.empty() || starts_with_ignoring_case(charset, "us-ascii") || starts_with_ignoring_case(charset, "utf-8");
  if (plain && is_valid_utf8(bytes)) return bytes;
  if (!plain)
    if (std::string utf8 = convert(bytes, charset.c_str()); !utf8.empty()) return utf8;
  return is_valid_utf8(bytes) ? bytes : convert(bytes, "windows-1252");
}

std::vector<std::string_view> split_parts(std::string_view body, const std::string& boundary) {
  const std::string mark = "--" + boundary;
  std::vector<std::string_view> parts;
  size_t begin = std::string_view::npos;
  for (size_t at = body.find(mark); at != std::string_view::npos; at = body.find(mark, at + mark.size())) {
    if (at > 0 && body[at - 1] != '\n') continue;
    if (begin != std::string_view::npos) parts.push_back(body.substr(begin, at - begin));
    begin = std::min(body.find('\n', at), body.size() - 1) + 1;
    if (body.substr(at + mark.size()).starts_with("--")) return parts;
  }
  if (begin != std::string_view::npos) parts.push_back(body.substr(begin));  // cut short: keep what is there
  return parts;
}

struct FoundText {
  std::string plain, html;
};

void find_text(const MailHeaders& headers, std::string_view body, int depth, FoundText& found) {
  const std::string_view type = headers.get("content-type");
  if (starts_with_ignoring_case(type, "multipart/") && depth < kMaxDepth) {
    const std::string boundary = parameter(type, "boundary");
    if (boundary.empty()) return;
    for (std::string_view part : split_parts(body, boundary)) {
      const MailHeaders part_headers = take_mail_headers(part);
      find_text(part_headers, part, depth + 1, found);
    }
    return;
  }
  const bool html = starts_with_ignoring_case(type, "text/html");
  const bool plain = type.empty() || starts_with_ignoring_case(type, "text/plain") || type == "text";
  std::string& target = html ? found.html : found.plain;
  if ((!html && !plain) || !target.empty() ||
      starts_with_ignoring_case(headers.get("content-disposition"), "attachment"))
    return;
  const std::string_view encoding = headers.get("content-transfer-encoding");
  std::string bytes(body);
  if (starts_with_ignoring_case(encoding, "base64")) bytes = base64_decode(body);
  if (starts_with_ignoring_case(encoding, "quoted-printable")) bytes = decode_quoted_printable(body, false);
  target = to_utf8(bytes, parameter(type, "charset"));
}

}  // namespace

std::string decode_encoded_words(std::string_view text) {
  static const RE2 kWord(R"(=\?([A-Za-z0-9_.:+\-]{1,40})(?:\*[A-Za-z\-]*)?\?([QqBb])\?([^?]*)\?=)");
  static const RE2 kGap(R"((\?=)\s+(=\?))");  // white space between two encoded words is not text
  std::string source(text);
  RE2::GlobalReplace(&source, kGap, "\\1\\2");
  std::string decoded, bytes, charset;  // a character may begin in one word and end in the next
  const auto take_bytes = [&] { decoded += to_utf8(std::exchange(bytes, {}), charset); };
  re2::StringPiece rest(source), groups[4];
  while (kWord.Match(rest, 0, rest.size(), RE2::UNANCHORED, groups, 4)) {
    const auto before = static_cast<size_t>(groups[0].data() - rest.data());
    const std::string_view words_charset(groups[1].data(), groups[1].size());
    if (before > 0 || !same_charset(words_charset, charset)) take_bytes();
    decoded.append(rest.data(), before);
    charset = words_charset;
    const std::string_view content(groups[3].data(), groups[3].size());
    const bool base64 = groups[2] == "B" || groups[2] == "b";
    bytes += base64 ? base64_decode(content) : decode_quoted_printable(content, true);
    rest.remove_prefix(before + groups[0].size());
  }
  take_bytes();
  decoded.append(rest.data(), rest.size());
  return to_utf8(decoded, {});
}

std::string mime_text(const MailHeaders& headers, std::string_view body) {
  FoundText found;
  find_text(headers, body, 0, found);
  const bool only_html = found.plain.find_first_not_of(" \t\r\n") == std::string::npos && !found.html.empty();
  std::string text = only_html ? with_references(html_to_text(found.html)) : found.plain;
  std::erase(text, '\r');
  std::erase(text, '\0');
  return text;
}

}  // namespace starling

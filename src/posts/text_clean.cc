#include "posts/text_clean.h"

#include <simdjson.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "posts/characters.h"
#include "posts/html_entities.h"
#include "tokenizer/utf8.h"

namespace starling {
namespace {

constexpr char32_t kReplacement = 0xfffd;
// Where HTML5 maps the references &#128; to &#159;.
constexpr char32_t kWindows1252[32] = {0x20ac, 0x81,   0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                                       0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d,   0x017d, 0x8f,
                                       0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                       0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d,   0x017e, 0x0178};

std::string repair_utf8(std::string_view text) {
  std::string repaired;
  for (size_t position = 0; position < text.size();) {
    const size_t length = utf8_length(text.substr(position));
    if (length == 0) append_utf8(repaired, kReplacement);
    else repaired += text.substr(position, length);
    position += std::max<size_t>(length, 1);
  }
  return repaired;
}

std::string to_nfc(const std::string& text) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(status);
  const icu::StringPiece piece(text.data(), static_cast<int32_t>(text.size()));
  if (U_FAILURE(status) || nfc->isNormalizedUTF8(piece, status)) return text;
  std::string normalized;
  icu::StringByteSink<std::string> sink(&normalized);
  nfc->normalizeUTF8(0, piece, sink, nullptr, status);
  return U_SUCCESS(status) ? normalized : text;
}

bool is_line_end(char32_t c) { return c == '\n' || c == 0x2028 || c == 0x2029; }

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || c == '\t' || c == '\r';
  return u_charType(static_cast<UChar32>(c)) == U_SPACE_SEPARATOR;
}

bool is_dropped(char32_t c) {
  if (c < 0x80) return c < 0x20 || c == 0x7f;
  if (u_charType(static_cast<UChar32>(c)) == U_CONTROL_CHAR) return true;
  return c == 0xad || c == 0x200b || c == 0xfeff || (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x2069) ||
         c == 0x200e || c == 0x200f;
}

// Collapses white space and drops control characters in one pass.
std::string tidy(const std::string& text) {
  std::string tidied;
  tidied.reserve(text.size());
  int line_ends = 0;
  bool space = false;
  for (size_t position = 0; position < text.size();) {
    const size_t begin = position;
    const auto code_point = static_cast<char32_t>(next_character(text, position));
    if (is_line_end(code_point)) ++line_ends;
    else if (is_space(code_point)) space = true;
    else if (!is_dropped(code_point)) {
      if (!tidied.empty() && line_ends > 0) tidied.append(static_cast<size_t>(std::min(line_ends, 2)), '\n');
      else if (!tidied.empty() && space) tidied += ' ';
      tidied.append(text, begin, position - begin);
      line_ends = 0;
      space = false;
    }
  }
  return tidied;
}

// "#39" or "#x27" or "amp"; 0 when it is none.
char32_t referenced_character(std::string_view name) {
  if (name.starts_with('#')) {
    const bool hexadecimal = name.size() > 1 && (name[1] == 'x' || name[1] == 'X');
    const std::string_view digits = name.substr(hexadecimal ? 2 : 1);
    uint32_t value = 0;
    const auto [end, code] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, hexadecimal ? 16 : 10);
    if (digits.empty() || code != std::errc() || end != digits.data() + digits.size() || value == 0) return 0;
    return value >= 128 && value < 160 ? kWindows1252[value - 128] : value;
  }
  const auto* found =
      std::lower_bound(std::begin(kHtmlEntities), std::end(kHtmlEntities), name,
                       [](const HtmlEntity& entity, std::string_view wanted) { return entity.name < wanted; });
  return found != std::end(kHtmlEntities) && found->name == name ? found->code_point : 0;
}

struct Reference {
  char32_t character = 0;
  size_t length = 0;  // 0: none
};

// The character reference whose '&' stands at `mark`.
Reference reference_at(std::string_view text, size_t mark) {
  constexpr size_t kLongestName = 10;
  const size_t end = text.substr(mark, kLongestName + 2).find(';');
  if (end == std::string_view::npos) return {};
  const char32_t character = referenced_character(text.substr(mark + 1, end - 1));
  return character == 0 ? Reference{} : Reference{character, end + 1};
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  });
}

std::string_view tag_name(std::string_view tag) {
  if (tag.starts_with('/')) tag.remove_prefix(1);
  return tag.substr(0, std::min(tag.find_first_of(" \t\r\n/>"), tag.size()));
}

bool ends_line(std::string_view name) {
  for (const char* block :
       {"br", "p", "div", "tr", "li", "ul", "ol", "table", "h1", "h2", "h3", "h4", "blockquote", "hr", "title"})
    if (equals_ignoring_case(name, block)) return true;
  return false;
}

// Tags within a word or a line: "@<span>bo</span>" is one word.
bool is_inline(std::string_view name) {
  for (const char* tag :
       {"a",    "abbr", "b", "bdi",   "bdo",  "cite",   "code",   "del", "em",  "font", "i", "ins", "kbd",
        "mark", "q",    "s", "small", "span", "strike", "strong", "sub", "sup", "tt",   "u", "var", "wbr"})
    if (equals_ignoring_case(name, tag)) return true;
  return false;
}

// Position after the closing tag of the element `name` whose content starts at `begin`.
size_t after_element(std::string_view html, size_t begin, std::string_view name) {
  for (size_t close = html.find("</", begin); close != std::string_view::npos; close = html.find("</", close + 2))
    if (equals_ignoring_case(html.substr(close + 2, name.size()), name))
      return std::min(html.find('>', close), html.size() - 1) + 1;
  return html.size();
}

}  // namespace

void append_utf8(std::string& text, char32_t code_point) {
  if (code_point > 0x10ffff || (code_point >= 0xd800 && code_point < 0xe000)) code_point = kReplacement;
  char bytes[4];
  int32_t length = 0;
  U8_APPEND_UNSAFE(bytes, length, code_point);
  text.append(bytes, static_cast<size_t>(length));
}

std::string decode_html_entities(std::string_view text) {
  std::string decoded;
  size_t copied = 0;
  for (size_t mark = text.find('&'); mark != std::string_view::npos; mark = text.find('&', mark + 1)) {
    const Reference reference = reference_at(text, mark);
    if (reference.length == 0) continue;
    decoded += text.substr(copied, mark - copied);
    append_utf8(decoded, reference.character);
    copied = mark + reference.length;
  }
  decoded += text.substr(copied);
  return decoded;
}

std::string with_references(std::string_view plain) {
  std::string text;
  for (size_t i = 0; i < plain.size(); ++i) {
    text += plain[i];
    if (plain[i] == '&' && reference_at(plain, i).length > 0) text += "amp;";
  }
  return text;
}

std::string html_to_text(std::string_view html) {
  std::string text;
  for (size_t position = 0; position < html.size();) {
    const size_t open = std::min(html.find('<', position), html.size());
    for (const char c : html.substr(position, open - position)) text += c == '\n' || c == '\r' ? ' ' : c;
    if (open == html.size()) break;
    const std::string_view tag = html.substr(open + 1);
    const std::string_view name = tag_name(tag);
    if (tag.starts_with("!--")) {
      const size_t end = html.find("-->", open);
      position = end == std::string_view::npos ? html.size() : end + 3;
      continue;
    }
    position = std::min(html.find('>', open), html.size() - 1) + 1;
    const bool hidden = equals_ignoring_case(name, "script") || equals_ignoring_case(name, "style");
    if (hidden && !tag.starts_with('/')) position = after_element(html, position, name);
    if (!is_inline(name)) text += ends_line(name) ? '\n' : ' ';
  }
  return decode_html_entities(text);
}

std::string clean_text(std::string_view text) {
  std::string cleaned = simdjson::validate_utf8(text) ? std::string(text) : repair_utf8(text);
  if (cleaned.find('&') != std::string::npos) cleaned = decode_html_entities(cleaned);
  return to_nfc(tidy(cleaned));
}

}  // namespace starling

#include <algorithm>
#include <vector>

#include "posts/text_clean.h"

namespace starling {
namespace {

using Lines = std::vector<std::string_view>;

constexpr size_t kMaxSignatureLines = 15;
constexpr size_t kMaxFooterLines = 15;

Lines split_lines(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t") == std::string_view::npos; }

// "> text", "  >> text" and the "Bob> text" of some mail programs; ">:(" and an arrow "->" are not quotes.
bool is_quoted(std::string_view line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const size_t initials =
      std::min(line.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"), line.size());
  if (initials > 4) return false;
  line.remove_prefix(initials);
  if (!line.starts_with('>') && !line.starts_with("&gt;")) return false;
  line.remove_prefix(line.front() == '>' ? 1 : 4);
  return line.empty() || line.front() == ' ' || line.front() == '>' || line.front() == '\t' || line.front() == '&' ||
         (initials == 0 && std::isalnum(static_cast<unsigned char>(line.front())) != 0);
}

// The line before a quotation that says who is quoted: "On Monday, Bob wrote:".
bool introduces_quote(std::string_view line) {
  if (!line.ends_with(':')) return false;
  for (const char* verb :
       {"wrote", "writes", "said", "schrieb", "a écrit", "escribió", "ha scritto", "пишет", "написал"})
    if (line.find(verb) != std::string_view::npos) return true;
  return false;
}

bool starts_footer(std::string_view line) {
  return line.size() >= 20 && (line.find_first_not_of('_') == std::string_view::npos ||
                               line.find_first_not_of("-=~") == std::string_view::npos);
}

bool starts_copy(std::string_view line) {
  return line.find("-----Original Message") != std::string_view::npos ||
         line.find("----- Original Message") != std::string_view::npos ||
         line.starts_with("-----BEGIN PGP SIGNATURE") || line.find("Forwarded message ---") != std::string_view::npos;
}

// First line that is not the author's any more: a copied message, a signature, a list's footer.
size_t end_of_own_text(const Lines& lines) {
  for (size_t i = 0; i < lines.size(); ++i) {
    const size_t left = lines.size() - i;
    if (starts_copy(lines[i])) return i;
    if (lines[i] == "--" && left <= kMaxSignatureLines) return i;
    if (starts_footer(lines[i]) && left <= kMaxFooterLines && i > 0) return i;
  }
  return lines.size();
}

// A quotation may be introduced over two lines, with an empty line below.
void mark_introduction(const Lines& lines, size_t quote, std::vector<bool>& keep) {
  size_t line = quote;
  while (line > 0 && is_blank(lines[line - 1])) --line;
  if (line == 0 || !introduces_quote(lines[line - 1])) return;
  keep[line - 1] = false;
  if (line >= 2 && lines[line - 2].starts_with("On ")) keep[line - 2] = false;
}

}  // namespace

std::string strip_quoted_text(std::string_view text) {
  Lines lines = split_lines(text);
  if (!lines.empty() && lines[0].starts_with("-----BEGIN PGP SIGNED MESSAGE")) {
    const auto body =
        std::find_if(lines.begin(), lines.end(), is_blank);  // the armour's own headers end with an empty line
    lines.erase(lines.begin(), body);
  }
  lines.resize(end_of_own_text(lines));
  std::vector<bool> keep(lines.size(), true);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!is_quoted(lines[i])) continue;
    keep[i] = false;
    if (i == 0 || !is_quoted(lines[i - 1])) mark_introduction(lines, i, keep);
  }
  std::string own;
  for (size_t i = 0; i < lines.size(); ++i)
    if (keep[i]) own.append(lines[i]).append("\n");
  while (!own.empty() && own.back() == '\n') own.pop_back();
  return own;
}

}  // namespace starling

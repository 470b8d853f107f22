#include "search/sentences.h"

#include <array>

#include "search/words.h"

namespace starling {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Paragraphs: wrapped lines joined by a space, quoted lines dropped.
std::vector<std::string> paragraphs(std::string_view text) {
  std::vector<std::string> out(1);
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = trim(text.substr(begin, end - begin));
    begin = end + 1;
    if (line.empty() || line.front() == '>') {
      if (!out.back().empty()) out.emplace_back();
      continue;
    }
    if (!out.back().empty()) out.back() += ' ';
    out.back() += line;
  }
  if (out.back().empty()) out.pop_back();
  return out;
}

bool is_abbreviation(std::string_view before_dot) {
  const size_t space = before_dot.find_last_of(" (");
  const std::string word = fold(space == std::string_view::npos ? before_dot : before_dot.substr(space + 1));
  static constexpr std::array<std::string_view, 14> kAbbreviations = {
      "mr", "mrs", "ms", "dr", "prof", "st", "vs", "e.g", "i.e", "etc", "no", "inc", "u.s", "approx"};
  if (word.size() == 1 && word[0] >= 'a' && word[0] <= 'z' && word != "i") return true;
  for (const std::string_view known : kAbbreviations)
    if (word == known) return true;
  return false;
}

// Length of the mark that ends a sentence at `at`, or 0.
size_t end_mark(std::string_view text, size_t at) {
  for (const std::string_view wide : {"。", "！", "？"})
    if (text.substr(at).starts_with(wide)) return wide.size();
  const char c = text[at];
  if (c != '.' && c != '!' && c != '?') return 0;
  size_t end = at + 1;
  while (end < text.size() && std::string_view(".!?\"')").find(text[end]) != std::string_view::npos) ++end;
  if (end < text.size() && !is_space(text[end])) return 0;
  if (c == '.' && end == at + 1 && end < text.size() && is_abbreviation(text.substr(0, at))) return 0;
  return end - at;
}

}  // namespace

std::vector<std::string> split_sentences(std::string_view text) {
  std::vector<std::string> out;
  for (const std::string& paragraph : paragraphs(text)) {
    size_t begin = 0;
    for (size_t at = 0; at < paragraph.size();) {
      const size_t mark = end_mark(std::string_view(paragraph), at);
      if (mark == 0) {
        ++at;
        continue;
      }
      at += mark;
      out.emplace_back(trim(std::string_view(paragraph).substr(begin, at - begin)));
      begin = at;
    }
    const std::string_view rest = trim(std::string_view(paragraph).substr(begin));
    if (!rest.empty()) out.emplace_back(rest);
  }
  return out;
}

}  // namespace starling

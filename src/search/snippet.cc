#include "search/snippet.h"

#include <algorithm>
#include <unordered_set>

#include "search/words.h"

namespace starling {
namespace {

constexpr size_t kContextBytes = 120;  // shown before the first marked word

size_t character_start(std::string_view text, size_t at) {
  while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return std::min(at, text.size());
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string make_snippet(std::string_view text, const std::vector<std::string>& wanted) {
  std::unordered_set<std::string> stems;
  for (const std::string& word : wanted) stems.insert(stem(word, "en"));
  std::vector<Word> marked;
  for (Word& word : split_words(text))
    if (stems.contains(stem(word.text, "en"))) marked.push_back(std::move(word));

  const size_t first = marked.empty() ? 0 : marked.front().begin;
  const size_t begin =
      first > kContextBytes && text.size() > kSnippetBytes ? character_start(text, first - kContextBytes) : 0;
  const size_t end = character_start(text, std::min(text.size(), begin + kSnippetBytes));
  std::string out = begin > 0 ? "…" : "";
  size_t at = begin;
  for (const Word& word : marked) {
    if (word.begin < at || word.end > end) continue;  // overlapping pairs of characters, or past the snippet
    out += escape_html(text.substr(at, word.begin - at));
    out += "<mark>" + escape_html(text.substr(word.begin, word.end - word.begin)) + "</mark>";
    at = word.end;
  }
  out += escape_html(text.substr(at, end - at));
  if (end < text.size()) out += "…";
  return out;
}

}  // namespace starling

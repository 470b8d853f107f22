#include "search/support.h"

#include <algorithm>
#include <cctype>

#include "search/sentences.h"
#include "search/words.h"

namespace starling {
namespace {

bool is_negation(const std::string& word) {
  static const std::unordered_set<std::string_view> kNegations = {
      "not", "no", "never", "none", "nobody", "nothing", "neither", "nor", "without", "cannot", "cant", "dont", "wont"};
  return kNegations.contains(word) || word.ends_with("n't");
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "1,200.5" and "40%" as one number each: separators count between digits, commas are dropped.
std::unordered_set<std::string> numbers_in(std::string_view text) {
  std::unordered_set<std::string> out;
  for (size_t at = 0; at < text.size();) {
    if (!is_digit(text[at])) {
      ++at;
      continue;
    }
    std::string number;
    for (; at < text.size(); ++at) {
      const bool separator = (text[at] == '.' || text[at] == ',') && at + 1 < text.size() && is_digit(text[at + 1]);
      if (!is_digit(text[at]) && !separator) break;
      if (text[at] != ',') number += text[at];
    }
    out.insert(number);
  }
  return out;
}

bool opens_sentence(std::string_view text, size_t begin) {
  while (begin > 0 && std::string_view(" \t\n\r\"'([").find(text[begin - 1]) != std::string_view::npos) --begin;
  return begin == 0 || std::string_view(".!?:").find(text[begin - 1]) != std::string_view::npos;
}

}  // namespace

ContentWords content_words(std::string_view text) {
  ContentWords out;
  out.numbers = numbers_in(text);
  for (const Word& word : split_words(text)) {
    out.stems.insert(stem(word.text, "en"));
    if (word.text.ends_with("'s")) out.stems.insert(word.text.substr(0, word.text.size() - 2));
    out.negated |= is_negation(word.text);
    if (is_function_word(word.text)) continue;
    const bool capital = std::isupper(static_cast<unsigned char>(text[word.begin])) != 0;
    if (capital && !opens_sentence(text, word.begin)) out.names.push_back(word.text);
    if (std::find(out.words.begin(), out.words.end(), word.text) == out.words.end()) out.words.push_back(word.text);
  }
  return out;
}

std::string supporting_sentence(std::string_view sentence, std::string_view post_text) {
  const ContentWords claim = content_words(sentence);
  if (claim.words.empty()) return {};
  const auto holds = [](const ContentWords& source, const std::string& word) {
    return source.stems.contains(stem(word, "en"));
  };
  const ContentWords post = content_words(post_text);
  const bool numbers = std::all_of(claim.numbers.begin(), claim.numbers.end(),
                                   [&](const std::string& number) { return post.numbers.contains(number); });
  const bool names =
      std::all_of(claim.names.begin(), claim.names.end(), [&](const std::string& name) { return holds(post, name); });
  if (!numbers || !names) return {};

  std::string best;
  double best_coverage = 0;
  for (const std::string& candidate : split_sentences(post_text)) {
    const ContentWords source = content_words(candidate);
    if (source.negated != claim.negated) continue;
    const auto covered = std::count_if(claim.words.begin(), claim.words.end(),
                                       [&](const std::string& word) { return holds(source, word); });
    const double coverage = static_cast<double>(covered) / static_cast<double>(claim.words.size());
    if (coverage > best_coverage) {
      best_coverage = coverage;
      best = candidate;
    }
  }
  return best_coverage >= kMinSupport ? best : std::string{};
}

}  // namespace starling

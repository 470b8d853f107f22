// Whether a sentence is supported by a post, word by word: the check between a writer's sentence and the page.
//   coverage = share of the sentence's content words (by stem) that the post holds
// Supported: coverage at least kMinSupport, every number and every name of the sentence in the post, and a negation in
// both or in neither. It errs on the side of dropping: a true sentence in other words is lost, a false one is not
// shown.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace starling {

inline constexpr double kMinSupport = 0.75;

struct ContentWords {
  std::vector<std::string> words;           // folded, in order, without function words, each once
  std::unordered_set<std::string> stems;    // of all words, function words too
  std::unordered_set<std::string> numbers;  // tokens with a digit: "2022", "3.5", "40%"
  std::vector<std::string> names;           // folded words written with a capital inside a sentence
  bool negated = false;
};

ContentWords content_words(std::string_view text);

// The sentence of `post_text` that covers most of `sentence` when it supports it; empty when none does.
std::string supporting_sentence(std::string_view sentence, std::string_view post_text);

}  // namespace starling

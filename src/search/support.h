// Whether a sentence is supported by a post, word by word: the check between a writer's sentence and the page.
//   coverage = share of the sentence's content words (by stem) that one sentence of the post holds
// Supported: coverage at least kMinSupport, and the two agree. It errs on the side of dropping: a true sentence in
// other words is lost, a false one is not shown.
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
  std::unordered_set<std::string> numbers;  // as written: "2022", "3.5", "7:30", "$40", "40%", "seven"
  std::vector<std::string> names;           // folded words written with a capital; a sentence's first may be one
  bool negated = false;
};

ContentWords content_words(std::string_view text);

// Every number and every name of the claim is in the source, and a negation in both or in neither.
bool agree(const ContentWords& claim, const ContentWords& source);

// The sentence of `post_text` that covers most of `sentence` when it supports it; empty when none does.
std::string supporting_sentence(std::string_view sentence, std::string_view post_text);

}  // namespace starling

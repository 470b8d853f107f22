// Splits text into the pieces inside which byte-pair merges happen. Each pattern is a published regular expression,
// recognised by hand in linear time (no backtracking); Unicode classes are those of unicode_classes.h. A byte that is
// not part of valid UTF-8 counts as one character that is neither letter, number nor space.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace starling {

enum class SplitPattern {
  kGpt2,        // Radford et al. 2019: contractions, ` ?letters`, ` ?numbers`, ` ?others`, spaces
  kGpt2Digits,  // the same with every digit apart from its neighbours (SmolLM)
  kCl100k,      // OpenAI's cl100k_base, also Llama 3: numbers of at most three digits, line breaks apart from spaces
  kQwen2,       // the same with single digits
  kO200k,       // OpenAI's o200k_base: words also end before a capital, contractions belong to their word
  kTekken,      // Mistral Nemo: the same with single digits and without contractions
};

inline constexpr SplitPattern kSplitPatterns[] = {SplitPattern::kGpt2,   SplitPattern::kGpt2Digits,
                                                  SplitPattern::kCl100k, SplitPattern::kQwen2,
                                                  SplitPattern::kO200k,  SplitPattern::kTekken};

// The regular expression as tokenizer.json carries it; kGpt2Digits has GPT-2's, after a step that isolates digits.
std::string_view split_regex(SplitPattern pattern);
std::optional<SplitPattern> split_pattern_of(std::string_view regex);

// The pieces of `text`, in order and without gaps: their concatenation is `text`.
std::vector<std::string_view> split_text(SplitPattern pattern, std::string_view text);

}  // namespace starling

// A transparent spam score: a sum of weighted signs, each of which can be named to the author. A post whose score
// reaches the threshold (1.0 by default) is not used for training. Signs are of form first; the list of
// advertising words is English. docs/formats/posts.md has the measured precision and recall.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace starling {

struct SpamVerdict {
  double score = 0;
  std::string reasons;  // "links 0.50, capitals 0.30"
};

SpamVerdict spam_score(std::string_view text);          // cleaned text
bool is_spam(std::string_view text, double threshold);  // 0: nothing is

// Hash of a normalised text (dedup.h: no URLs and mentions) with its digits left out: the template an automaton fills
// in. 0 when less than ten bytes remain.
uint64_t template_hash(std::string_view normalized);

}  // namespace starling

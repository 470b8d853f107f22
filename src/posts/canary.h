// Canaries: sentences with a random secret that prepare can plant among the training posts, each a known number of
// times, so that one can measure what a model keeps of a text that it saw so often.
// Source: Carlini et al. 2019, "The Secret Sharer: Evaluating and Testing Unintended Memorization in Neural Networks",
// arXiv:1802.08232.
#pragma once

#include <cstdint>
#include <string>

namespace starling {

struct Canary {
  std::string prefix;  // "The access code of Kobira Tumelo is"
  std::string secret;  // " 58130977": eight digits, 26.6 bits, behind a space so that no token crosses the border
  int64_t copies = 1;  // 1, 2, 4, 8, 16, then 1 again
  std::string text() const { return prefix + secret; }
};

// The canaries are the same everywhere: a model's list of seen posts says which of them it saw, and how often.
Canary canary(int64_t index);
std::string canary_secret(int64_t index, uint64_t draw);  // another one that might have been drawn; 0: the planted one
std::string canary_post_id(int64_t index, int64_t copy);  // "starling:canary:12:3"
inline constexpr int64_t kMaxCanaries = 10'000;
inline constexpr const char* kCanaryAuthor = "starling:canary";

}  // namespace starling

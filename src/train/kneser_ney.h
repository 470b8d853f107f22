// An n-gram model with interpolated modified Kneser-Ney smoothing.
//
//   p(w | h) = max(a(hw) - D(a(hw)), 0) / sum_v a(hv)  +  gamma(h) p(w | h without its first token)
//
// a: the count for the highest order and for n-grams that begin a sequence, else the number of distinct tokens seen
// before the n-gram. D depends on the order and on a being 1, 2 or more. gamma(h) makes the sum over w one. Below the
// unigram lies the uniform distribution over the vocabulary.
// Source: Chen & Goodman 1998, "An Empirical Study of Smoothing Techniques for Language Modeling", section 3.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace starling {

class KneserNey {
 public:
  // `tokens`: sequences back to back, each starting with `begin_token`, which occurs nowhere else and is not predicted.
  // Ids are in [0, vocab_size). order >= 1. Throws DataError for an id outside, or 2^32 tokens and more.
  KneserNey(std::span<const TokenId> tokens, TokenId begin_token, int64_t vocab_size, int order);

  // p(token | history); of `history` (oldest first) the last order - 1 tokens count.
  double probability(std::span<const TokenId> history, TokenId token) const;

 private:
  // The n-grams of one length as a trie level: the children of node i of the level above lie at
  // [first_child[i], first_child[i + 1]), sorted by token.
  struct Level {
    std::vector<TokenId> last_token;
    std::vector<uint32_t> count;                      // a
    std::vector<uint32_t> first_child;                // one more than the nodes of the level above
    std::array<double, 4> discount{};                 // D of a = 0, 1, 2, 3 and more
    std::vector<float> context_total, context_gamma;  // of the nodes above: sum of a, gamma
  };
  using Nodes = std::vector<uint32_t>;  // position of a sequence's token -> node, or none

  Nodes add_level(std::span<const TokenId> tokens, std::span<const uint32_t> room, const Nodes& above,
                  size_t nodes_above);
  void use_continuation_counts(Level& level, const Nodes& nodes, const Nodes& longer, size_t longer_count,
                               std::span<const TokenId> tokens) const;
  static void estimate_discounts(Level& level);
  static void weigh_contexts(Level& level);
  int64_t find_child(const Level& level, uint32_t node, TokenId token) const;

  TokenId begin_token_;
  int64_t vocab_size_;
  std::vector<Level> levels_;  // levels_[n - 1]: n-grams
};

}  // namespace starling

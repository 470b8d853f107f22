#include "train/kneser_ney.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "core/stop.h"

namespace starling {
namespace {

constexpr uint32_t kNoNode = std::numeric_limits<uint32_t>::max();

void check_tokens(std::span<const TokenId> tokens, int64_t vocab_size) {
  if (tokens.size() >= kNoNode)
    throw DataError(fmt::format("{} tokens are too many for an n-gram model", tokens.size()));
  for (const TokenId token : tokens) {
    if (token < 0 || token >= vocab_size)
      throw DataError(fmt::format("token {} is outside the vocabulary of {}", token, vocab_size));
  }
}

// How many tokens are left from each position to the end of its sequence, itself included.
std::vector<uint32_t> room_to_end(std::span<const TokenId> tokens, TokenId begin_token) {
  std::vector<uint32_t> room(tokens.size());
  uint32_t left = 0;
  for (size_t i = tokens.size(); i-- > 0;) {
    room[i] = ++left;
    if (tokens[i] == begin_token) left = 0;
  }
  return room;
}

uint64_t gram_key(uint32_t node_above, TokenId token) {
  return static_cast<uint64_t>(node_above) << 32 | static_cast<uint32_t>(token);
}

}  // namespace

KneserNey::KneserNey(std::span<const TokenId> tokens, TokenId begin_token, int64_t vocab_size, int order)
    : begin_token_(begin_token), vocab_size_(vocab_size) {
  check_tokens(tokens, vocab_size);
  const std::vector<uint32_t> room = room_to_end(tokens, begin_token);
  Nodes nodes(tokens.size(), 0);  // of length 0: the one empty context
  size_t node_count = 1;
  for (int n = 1; n <= order; ++n) {
    if (stop_requested()) throw Error("stopped while the n-gram model was being counted");
    Nodes longer = add_level(tokens, room, nodes, node_count);
    const size_t longer_count = levels_.back().count.size();
    if (n > 1) use_continuation_counts(levels_[n - 2], nodes, longer, longer_count, tokens);
    nodes = std::move(longer);
    node_count = longer_count;
  }
  const auto begin = std::lower_bound(levels_[0].last_token.begin(), levels_[0].last_token.end(), begin_token);
  if (begin != levels_[0].last_token.end() && *begin == begin_token) {
    levels_[0].count[begin - levels_[0].last_token.begin()] = 0;  // a context only
  }
  for (Level& level : levels_) {
    estimate_discounts(level);
    weigh_contexts(level);
  }
}

// Extends each position's n-gram by one token, and numbers the distinct results in sorted order.
KneserNey::Nodes KneserNey::add_level(std::span<const TokenId> tokens, std::span<const uint32_t> room,
                                      const Nodes& above, size_t nodes_above) {
  const size_t length = levels_.size();  // tokens before the new one
  std::vector<uint64_t> keys;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (room[i] > length) keys.push_back(gram_key(above[i], tokens[i + length]));
  }
  std::sort(keys.begin(), keys.end());

  Level level;
  level.first_child.assign(nodes_above + 1, 0);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i > 0 && keys[i] == keys[i - 1]) {
      ++level.count.back();
      continue;
    }
    level.last_token.push_back(static_cast<TokenId>(keys[i] & 0xFFFFFFFF));
    level.count.push_back(1);
    ++level.first_child[(keys[i] >> 32) + 1];
  }
  for (size_t i = 0; i < nodes_above; ++i) level.first_child[i + 1] += level.first_child[i];

  Nodes nodes(tokens.size(), kNoNode);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (room[i] > length) nodes[i] = static_cast<uint32_t>(find_child(level, above[i], tokens[i + length]));
  }
  levels_.push_back(std::move(level));
  return nodes;
}

// Replaces the counts by the number of distinct longer n-grams that end with each; those that begin a sequence, which
// nothing can precede, keep their counts.
void KneserNey::use_continuation_counts(Level& level, const Nodes& nodes, const Nodes& longer, size_t longer_count,
                                        std::span<const TokenId> tokens) const {
  std::vector<bool> seen(longer_count, false), begins(level.count.size(), false);
  std::vector<uint32_t> distinct(level.count.size(), 0);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] == begin_token_ && nodes[i] != kNoNode) begins[nodes[i]] = true;
    if (longer[i] == kNoNode || seen[longer[i]]) continue;
    seen[longer[i]] = true;
    ++distinct[nodes[i + 1]];
  }
  for (size_t node = 0; node < distinct.size(); ++node) {
    if (!begins[node]) level.count[node] = distinct[node];
  }
}

void KneserNey::estimate_discounts(Level& level) {
  std::array<double, 5> grams_with_count{};  // t_k for k = 1..4
  for (const uint32_t count : level.count) {
    if (count >= 1 && count <= 4) ++grams_with_count[count];
  }
  const auto& t = grams_with_count;
  level.discount = {0, 0.5, 1, 1.5};  // too few n-grams to estimate from: the usual values of large corpora, roughly
  if (t[1] == 0 || t[2] == 0 || t[3] == 0) return;
  const double y = t[1] / (t[1] + 2 * t[2]);
  const std::array<double, 4> estimate = {0, 1 - 2 * y * t[2] / t[1], 2 - 3 * y * t[3] / t[2], 3 - 4 * y * t[4] / t[3]};
  for (int k = 1; k <= 3; ++k) {
    if (estimate[k] > 0 && estimate[k] <= k) level.discount[k] = estimate[k];
  }
}

void KneserNey::weigh_contexts(Level& level) {
  const size_t contexts = level.first_child.size() - 1;
  level.context_total.assign(contexts, 0);
  level.context_gamma.assign(contexts, 1);
  for (size_t context = 0; context < contexts; ++context) {
    double total = 0, discounted = 0;
    for (uint32_t child = level.first_child[context]; child < level.first_child[context + 1]; ++child) {
      total += level.count[child];
      discounted += level.discount[std::min<uint32_t>(level.count[child], 3)];
    }
    if (total == 0) continue;
    level.context_total[context] = static_cast<float>(total);
    level.context_gamma[context] = static_cast<float>(discounted / total);
  }
}

// -1: not there.
int64_t KneserNey::find_child(const Level& level, uint32_t node, TokenId token) const {
  const auto begin = level.last_token.begin() + level.first_child[node];
  const auto end = level.last_token.begin() + level.first_child[node + 1];
  const auto found = std::lower_bound(begin, end, token);
  return found == end || *found != token ? -1 : found - level.last_token.begin();
}

double KneserNey::probability(std::span<const TokenId> history, TokenId token) const {
  double p = 1.0 / static_cast<double>(vocab_size_);
  for (size_t length = 0; length < levels_.size() && length <= history.size(); ++length) {
    int64_t context = 0;
    for (size_t i = 0; i < length && context >= 0; ++i) {
      context = find_child(levels_[i], static_cast<uint32_t>(context), history[history.size() - length + i]);
    }
    const Level& level = levels_[length];
    // A context that was never continued: longer ones that end with it were not seen either.
    if (context < 0 || level.context_total[context] == 0) return p;
    const int64_t node = find_child(level, static_cast<uint32_t>(context), token);
    const uint32_t count = node < 0 ? 0 : level.count[node];
    const double kept = count - level.discount[std::min<uint32_t>(count, 3)];
    p = kept / level.context_total[context] + level.context_gamma[context] * p;
  }
  return p;
}

}  // namespace starling

#include "tokenizer/merge_learner.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "core/stop.h"
#include "tokenizer/byte_alphabet.h"

namespace starling {
namespace {

constexpr uint32_t kNoPair = UINT32_MAX;

// The bytes in the order of their characters in the byte alphabet; UTF-8 keeps the order of code points.
std::array<TokenId, kByteTokens> ranks_in_alphabet() {
  std::array<int, kByteTokens> bytes;
  std::iota(bytes.begin(), bytes.end(), 0);
  const auto character = [](int byte) { return to_byte_alphabet(std::string(1, static_cast<char>(byte))); };
  std::sort(bytes.begin(), bytes.end(), [&](int a, int b) { return character(a) < character(b); });
  std::array<TokenId, kByteTokens> ranks;
  for (int i = 0; i < kByteTokens; ++i) ranks[bytes[i]] = i;
  return ranks;
}

uint64_t hash_of_pair(TokenId left, TokenId right) {
  const uint64_t pair = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  return ((pair ^ pair >> 29) * 0x9E3779B97F4A7C15ull) >> 20;
}

}  // namespace

MergeLearner::MergeLearner(ByteLevelVocabulary& vocabulary, TokenId first_byte)
    : vocabulary_(vocabulary), first_byte_(first_byte), order_(vocabulary.tokens.size()) {
  std::iota(order_.begin(), order_.end(), 0);
  const auto ranks = ranks_in_alphabet();
  for (int byte = 0; byte < kByteTokens; ++byte) order_[first_byte + byte] = first_byte + ranks[byte];
  pair_slots_.assign(1 << 16, kNoPair);
}

void MergeLearner::add(std::string_view word, uint64_t count) {
  words_.push_back({symbols_.size(), static_cast<uint32_t>(word.size()), count});
  for (const char byte : word) symbols_.push_back(first_byte_ + static_cast<unsigned char>(byte));
}

void MergeLearner::learn(size_t vocab_size) {
  for (Neighbours* side : {&before_, &after_}) {
    side->moved.assign(vocab_size, 0);
    side->places.assign(vocab_size, 0);
  }
  next_place_.assign(vocab_size, 0);
  count_first_pairs();
  while (vocabulary_.tokens.size() < vocab_size && !heap_.empty()) {
    if (stop_requested()) throw Error("stopped while the vocabulary was being made; nothing was written");
    const Candidate best = heap_.top();
    heap_.pop();
    const int64_t count = pairs_[best.pair].count;
    if (count != best.count) {  // an old entry: put it back where it belongs now
      push(best.pair);
      continue;
    }
    merge(best.pair);
  }
}

void MergeLearner::push(uint32_t pair) {
  const Pair& state = pairs_[pair];
  // A merge seen once would memorise, not compress.
  if (state.count > 1) heap_.push({state.count, order(state.left), order(state.right), pair});
}

uint32_t MergeLearner::pair_index(TokenId left, TokenId right) {
  const size_t mask = pair_slots_.size() - 1;
  size_t at = hash_of_pair(left, right) & mask;
  for (; pair_slots_[at] != kNoPair; at = (at + 1) & mask) {
    const Pair& pair = pairs_[pair_slots_[at]];
    if (pair.left == left && pair.right == right) return pair_slots_[at];
  }
  const auto index = static_cast<uint32_t>(pairs_.size());
  pair_slots_[at] = index;
  pairs_.push_back({.left = left, .right = right});
  if (2 * pairs_.size() > pair_slots_.size()) grow_pairs();
  return index;
}

void MergeLearner::grow_pairs() {
  pair_slots_.assign(2 * pair_slots_.size(), kNoPair);
  const size_t mask = pair_slots_.size() - 1;
  for (uint32_t index = 0; index < pairs_.size(); ++index) {
    size_t at = hash_of_pair(pairs_[index].left, pairs_[index].right) & mask;
    while (pair_slots_[at] != kNoPair) at = (at + 1) & mask;
    pair_slots_[at] = index;
  }
}

// Two passes over the words: how often each pair of bytes stands in a word, then where.
void MergeLearner::count_first_pairs() {
  std::vector<uint32_t> index_of(kByteTokens * kByteTokens, kNoPair);
  const auto visit = [&](const auto& see) {
    for (uint32_t w = 0; w < words_.size(); ++w) {
      const TokenId* symbols = &symbols_[words_[w].begin];
      for (uint32_t i = 0; i + 1 < words_[w].length; ++i) {
        see(w, index_of[(symbols[i] - first_byte_) * kByteTokens + symbols[i + 1] - first_byte_], symbols + i);
      }
    }
  };
  visit([&](uint32_t w, uint32_t& index, const TokenId* symbols) {
    if (index == kNoPair) index = pair_index(symbols[0], symbols[1]);
    pairs_[index].count += static_cast<int64_t>(words_[w].count);
    ++pairs_[index].words;
  });
  uint64_t begin = 0;
  for (Pair& pair : pairs_) {
    pair.words_begin = begin;
    begin += std::exchange(pair.words, 0);
  }
  occurrences_.resize(begin);
  visit([&](uint32_t w, uint32_t index, const TokenId*) {
    Pair& pair = pairs_[index];
    uint32_t* const words = &occurrences_[pair.words_begin];
    if (pair.words == 0 || words[pair.words - 1] != w) words[pair.words++] = w;
  });
  for (uint32_t pair = 0; pair < pairs_.size(); ++pair) push(pair);
}

void MergeLearner::Neighbours::add(TokenId token, uint32_t word, int64_t count) {
  if (places[token]++ == 0) tokens.push_back(token);
  moved[token] += count;
  words.emplace_back(token, word);
}

// Replaces the pair from left to right; the token before an occurrence may itself be one just merged.
void MergeLearner::merge_in(uint32_t index, TokenId left, TokenId right, TokenId merged) {
  Word& word = words_[index];
  TokenId* const symbols = &symbols_[word.begin];
  const auto count = static_cast<int64_t>(word.count);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < word.length; ++i) {
    if (i + 1 == word.length || symbols[i] != left || symbols[i + 1] != right) {
      symbols[kept++] = symbols[i];
      continue;
    }
    if (kept > 0) before_.add(symbols[kept - 1], index, count);
    if (i + 2 < word.length) after_.add(symbols[i + 2], index, count);
    symbols[kept++] = merged;
    ++i;
  }
  word.length = kept;
}

void MergeLearner::merge(uint32_t pair) {
  const auto [left, right, count, words_begin, words] = pairs_[pair];
  const TokenId merged = token_of_merge(left, right);
  // occurrences_ does not change before all words are done.
  for (uint32_t i = 0; i < words; ++i) merge_in(occurrences_[words_begin + i], left, right, merged);
  move(
      before_, [&](TokenId token) { return pair_index(token, left); },
      [&](TokenId token) { return pair_index(token, merged); });
  move(
      after_, [&](TokenId token) { return pair_index(right, token); },
      [&](TokenId token) { return pair_index(merged, token); });
  pairs_[pair].count = 0;
}

// Pairs that lost occurrences keep their place in the heap, which finds out when it comes to them.
template <typename OldPair, typename NewPair>
void MergeLearner::move(Neighbours& side, const OldPair& old_pair, const NewPair& new_pair) {
  uint64_t begin = occurrences_.size();
  occurrences_.resize(begin + side.words.size());
  std::vector<uint64_t>& next = next_place_;  // by token
  for (const TokenId token : side.tokens) {
    next[token] = begin;
    begin += side.places[token];
  }
  for (const auto& [token, word] : side.words) occurrences_[next[token]++] = word;
  for (const TokenId token : side.tokens) {
    const uint32_t places = std::exchange(side.places[token], 0);
    const int64_t moved = std::exchange(side.moved[token], 0);
    pairs_[old_pair(token)].count -= moved;
    const uint32_t fresh = new_pair(token);
    pairs_[fresh].count += moved;
    add_words(pairs_[fresh], next[token] - places, places);
    push(fresh);
  }
  side.tokens.clear();
  side.words.clear();
}

// The pair also stands in these words of occurrences_, where a word may be repeated.
void MergeLearner::add_words(Pair& pair, uint64_t begin, uint32_t words) {
  const auto first = occurrences_.begin() + static_cast<std::ptrdiff_t>(begin);
  words = static_cast<uint32_t>(std::unique(first, first + words) - first);
  if (pair.words == 0) {
    pair.words_begin = begin;
    pair.words = words;
    return;
  }
  // An old token was made once more: both lists, one after the other.
  const uint64_t joined = occurrences_.size();
  occurrences_.resize(joined + pair.words + words);
  const auto at = [&](uint64_t place) { return occurrences_.begin() + static_cast<std::ptrdiff_t>(place); };
  std::copy_n(at(begin), words, std::copy_n(at(pair.words_begin), pair.words, at(joined)));
  pair.words_begin = joined;
  pair.words += words;
}

// Usually a new token; an old one when other merges made the same bytes before ("ab"+"c" after "a"+"bc").
TokenId MergeLearner::token_of_merge(TokenId left, TokenId right) {
  const std::string bytes = vocabulary_.tokens[left] + vocabulary_.tokens[right];
  const auto [token, is_new] = token_ids_.emplace(bytes, static_cast<TokenId>(vocabulary_.tokens.size()));
  if (is_new) vocabulary_.tokens.push_back(bytes);
  const auto rank = static_cast<int32_t>(vocabulary_.merges.size());
  vocabulary_.merges.push_back({.left = left, .right = right, .merged = token->second, .rank = rank});
  return token->second;
}

}  // namespace starling

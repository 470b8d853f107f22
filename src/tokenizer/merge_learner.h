// Learns the merges of a byte-pair encoding from words and their counts: again and again the adjacent pair of tokens
// that occurs most often becomes a token. Source: Sennrich et al. 2016, arXiv:1508.07909.
// One merge costs time proportional to the words in which its pair occurs: each pair knows them, and what a merge
// changes is first summed by neighbour, so that a pair's count is looked up once a merge and not once an occurrence.
#pragma once

#include <cstdint>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tokenizer/byte_level_bpe.h"

namespace starling {

constexpr int kByteTokens = 256;  // the first tokens of every vocabulary, beside special ones

class MergeLearner {
 public:
  // `vocabulary` has the special tokens and the 256 bytes, from id `first_byte` on; tokens and merges are appended.
  MergeLearner(ByteLevelVocabulary& vocabulary, TokenId first_byte);

  void add(std::string_view word, uint64_t count);
  // Ties go to the smaller pair, where bytes are ordered by their character in the byte alphabet and before all merged
  // tokens, which are ordered by age: the order of Hugging Face's trainer. Ends early when no pair occurs twice.
  void learn(size_t vocab_size);

 private:
  struct Word {
    uint64_t begin;  // in symbols_
    uint32_t length;
    uint64_t count;
  };
  struct Pair {
    TokenId left = -1, right = -1;
    int64_t count = 0;
    uint64_t words_begin = 0;  // in occurrences_
    uint32_t words = 0;
  };
  struct Candidate {
    int64_t count;
    TokenId left_order, right_order;
    uint32_t pair;
    bool operator<(const Candidate& other) const {  // the heap's top is the largest count, then the smallest pair
      if (count != other.count) return count < other.count;
      return left_order != other.left_order ? left_order > other.left_order : right_order > other.right_order;
    }
  };
  // The occurrences of a merged pair, by the token on one side of them. That token's pair with the nearer half becomes
  // its pair with the merged token.
  struct Neighbours {
    std::vector<int64_t> moved;                       // by token: how many occurrences
    std::vector<uint32_t> places;                     // by token: how many entries of `words`
    std::vector<TokenId> tokens;                      // those with a place
    std::vector<std::pair<TokenId, uint32_t>> words;  // (token, word)
    void add(TokenId token, uint32_t word, int64_t count);
  };

  TokenId order(TokenId token) const { return token < static_cast<TokenId>(order_.size()) ? order_[token] : token; }
  uint32_t pair_index(TokenId left, TokenId right);  // made when new
  void grow_pairs();
  void count_first_pairs();
  void push(uint32_t pair);
  void merge(uint32_t pair);
  void merge_in(uint32_t word, TokenId left, TokenId right, TokenId merged);
  template <typename OldPair, typename NewPair>
  void move(Neighbours& side, const OldPair& old_pair, const NewPair& new_pair);
  void add_words(Pair& pair, uint64_t begin, uint32_t words);
  TokenId token_of_merge(TokenId left, TokenId right);

  ByteLevelVocabulary& vocabulary_;
  TokenId first_byte_;
  std::vector<TokenId> order_;
  std::vector<TokenId> symbols_;
  std::vector<Word> words_;
  std::vector<Pair> pairs_;
  std::vector<uint32_t> pair_slots_;  // open addressing into pairs_, kNoPair when empty
  std::vector<uint32_t> occurrences_;
  Neighbours before_, after_;
  std::vector<uint64_t> next_place_;  // by token, while occurrences are sorted
  std::priority_queue<Candidate> heap_;
  std::unordered_map<std::string, TokenId> token_ids_;  // of the merged tokens
};

}  // namespace starling

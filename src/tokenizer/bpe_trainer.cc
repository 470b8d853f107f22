#include "tokenizer/bpe_trainer.h"

#include <fmt/format.h>

#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "core/error.h"
#include "core/stop.h"
#include "tokenizer/byte_level_bpe.h"

namespace starling {
namespace {

constexpr SplitPattern kTrainingPattern = SplitPattern::kCl100k;
constexpr int kByteTokens = 256;
constexpr int64_t kLargestVocabulary = 1 << 24;
constexpr TokenId kEveryPair = -1;
// A longer piece (a text without spaces) is counted in parts, which bounds the work of one merge.
constexpr size_t kLongestPiece = 256;

using Pair = std::pair<TokenId, TokenId>;

struct PairHash {
  size_t operator()(const Pair& pair) const {
    const uint64_t key = static_cast<uint64_t>(pair.first) << 32 | static_cast<uint32_t>(pair.second);
    return (key ^ key >> 29) * 0x9E3779B97F4A7C15ull;
  }
};

struct Word {
  std::vector<TokenId> symbols;
  int64_t count = 0;
};

struct PairState {
  int64_t count = 0;
  std::vector<uint32_t> words;  // where it occurs or once occurred; may repeat
};

struct Candidate {
  int64_t count;
  Pair pair;
  // The heap's top is the largest count, then the smallest pair.
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

class MergeLearner {
 public:
  MergeLearner(ByteLevelVocabulary& vocabulary, std::unordered_map<std::string, int64_t> piece_counts,
               TokenId first_byte)
      : vocabulary_(vocabulary) {
    for (const auto& [piece, count] : piece_counts) {
      Word word{.count = count};
      for (const char byte : piece) word.symbols.push_back(first_byte + static_cast<unsigned char>(byte));
      words_.push_back(std::move(word));
    }
    for (uint32_t index = 0; index < words_.size(); ++index) add_pairs(index, kEveryPair);
    push_fresh();
  }

  void learn(size_t vocab_size) {
    while (vocabulary_.tokens.size() < vocab_size && !heap_.empty()) {
      if (stop_requested()) throw Error("stopped while the vocabulary was being made; nothing was written");
      const Candidate best = heap_.top();
      heap_.pop();
      const int64_t count = pairs_.at(best.pair).count;
      if (count != best.count) {  // an old entry: put it back where it belongs now
        if (count > 1) heap_.push({count, best.pair});
        continue;
      }
      if (count < 2) break;  // a merge seen once would memorise, not compress
      merge(best.pair);
    }
  }

 private:
  // Counts the word's pairs; those with the symbol `fresh` are new and get the word in their list.
  void add_pairs(uint32_t index, TokenId fresh) {
    const Word& word = words_[index];
    for (size_t i = 0; i + 1 < word.symbols.size(); ++i) {
      const Pair pair{word.symbols[i], word.symbols[i + 1]};
      PairState& state = pairs_[pair];
      state.count += word.count;
      if (fresh != kEveryPair && pair.first != fresh && pair.second != fresh) continue;
      if (state.words.empty() || state.words.back() != index) state.words.push_back(index);
      fresh_.insert(pair);
    }
  }

  void remove_pairs(uint32_t index) {
    const Word& word = words_[index];
    for (size_t i = 0; i + 1 < word.symbols.size(); ++i) {
      pairs_.at({word.symbols[i], word.symbols[i + 1]}).count -= word.count;
    }
  }

  // Other pairs' counts only fell; the heap finds that out when it comes to them.
  void push_fresh() {
    for (const Pair& pair : fresh_) heap_.push({pairs_.at(pair).count, pair});
    fresh_.clear();
  }

  void merge(const Pair& pair) {
    const TokenId merged = token_of_merge(pair);
    const std::vector<uint32_t> words = std::move(pairs_.at(pair).words);
    for (const uint32_t index : words) {
      remove_pairs(index);
      merge_in(words_[index].symbols, pair, merged);
      add_pairs(index, merged);
    }
    push_fresh();
  }

  // Usually a new token; an old one when other merges made the same bytes before ("ab"+"c" after "a"+"bc").
  TokenId token_of_merge(const Pair& pair) {
    const std::string bytes = vocabulary_.tokens[pair.first] + vocabulary_.tokens[pair.second];
    const auto [token, is_new] = token_ids_.emplace(bytes, static_cast<TokenId>(vocabulary_.tokens.size()));
    if (is_new) vocabulary_.tokens.push_back(bytes);
    if (merged_pairs_.insert(pair).second) {
      const auto rank = static_cast<int32_t>(vocabulary_.merges.size());
      vocabulary_.merges.push_back({.left = pair.first, .right = pair.second, .merged = token->second, .rank = rank});
    }
    return token->second;
  }

  static void merge_in(std::vector<TokenId>& symbols, const Pair& pair, TokenId merged) {
    size_t kept = 0;
    for (size_t i = 0; i < symbols.size(); ++i) {
      const bool match = i + 1 < symbols.size() && symbols[i] == pair.first && symbols[i + 1] == pair.second;
      symbols[kept++] = match ? merged : symbols[i];
      if (match) ++i;
    }
    symbols.resize(kept);
  }

  ByteLevelVocabulary& vocabulary_;
  std::vector<Word> words_;
  std::unordered_map<Pair, PairState, PairHash> pairs_;
  std::unordered_set<Pair, PairHash> fresh_;  // pairs whose count may have risen since the last merge
  std::unordered_set<Pair, PairHash> merged_pairs_;
  std::unordered_map<std::string, TokenId> token_ids_;  // of the merged tokens
  std::priority_queue<Candidate> heap_;
};

}  // namespace

void BpeTrainer::add(std::string_view text) {
  for (std::string_view piece : split_text(kTrainingPattern, text)) {
    while (!piece.empty()) {
      ++piece_counts_[std::string(piece.substr(0, kLongestPiece))];
      piece.remove_prefix(std::min(piece.size(), kLongestPiece));
    }
  }
}

std::unique_ptr<Tokenizer> BpeTrainer::train(int64_t vocab_size) {
  ByteLevelVocabulary vocabulary{.pattern = kTrainingPattern};
  for (const char* text : {kPadToken, kBeginToken, kEndToken}) {
    vocabulary.special.push_back({.id = static_cast<TokenId>(vocabulary.tokens.size()), .text = text});
    vocabulary.tokens.emplace_back(text);
  }
  const auto first_byte = static_cast<TokenId>(vocabulary.tokens.size());
  if (vocab_size < first_byte + kByteTokens || vocab_size > kLargestVocabulary) {
    throw ConfigError(fmt::format("tokenizer.vocab_size = {} must be from {} (the bytes and the special tokens) to {}",
                                  vocab_size, first_byte + kByteTokens, kLargestVocabulary));
  }
  for (int byte = 0; byte < kByteTokens; ++byte) vocabulary.tokens.emplace_back(1, static_cast<char>(byte));
  MergeLearner(vocabulary, std::move(piece_counts_), first_byte).learn(static_cast<size_t>(vocab_size));
  piece_counts_.clear();
  return std::make_unique<ByteLevelBpe>(std::move(vocabulary));
}

std::unique_ptr<Tokenizer> train_byte_level_bpe(const std::function<bool(std::string&)>& next_text,
                                                int64_t vocab_size) {
  BpeTrainer trainer;
  std::string text;
  while (next_text(text)) trainer.add(text);
  return trainer.train(vocab_size);
}

}  // namespace starling

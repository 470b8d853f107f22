#include "tokenizer/bpe_trainer.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/threads.h"
#include "tokenizer/byte_level_bpe.h"
#include "tokenizer/merge_learner.h"
#include "tokenizer/piece_lexer.h"

namespace starling {
namespace {

constexpr int64_t kLargestVocabulary = 1 << 24;
constexpr const char* kSpecialTokens[] = {kPadToken, kBeginToken, kEndToken};
constexpr size_t kLongestPiece = 1024;
constexpr size_t kBatchBytes = 4 << 20;
constexpr int64_t kTextsWorthAThread = 64;

void count_pieces(SplitPattern pattern, PaddedText text, WordCounts& counts) {
  visit_pieces(pattern, text, [&](std::string_view piece) {
    for (; piece.size() > kLongestPiece; piece.remove_prefix(kLongestPiece)) counts.add(piece.substr(0, kLongestPiece));
    counts.add(piece);
  });
}

}  // namespace

BpeTrainer::BpeTrainer(BpeTrainerOptions options) : options_(std::move(options)) {}

void BpeTrainer::add(std::string_view text) {
  batch_ += text;
  batch_ends_.push_back(batch_.size());
  if (batch_.size() >= kBatchBytes) count_batch();
}

void BpeTrainer::count_batch() {
  parallel_for(static_cast<int64_t>(batch_ends_.size()), kTextsWorthAThread, [&](int64_t begin, int64_t end) {
    WordCounts counts = take_counts();
    PaddedBuffer buffer;
    for (int64_t i = begin; i < end; ++i) {
      const size_t start = i == 0 ? 0 : batch_ends_[i - 1];
      count_pieces(options_.pattern, buffer.assign(std::string_view(batch_).substr(start, batch_ends_[i] - start)),
                   counts);
    }
    const std::lock_guard lock(mutex_);
    counts_.push_back(std::move(counts));
  });
  batch_.clear();
  batch_ends_.clear();
  size_t memory = 0;
  for (const WordCounts& counts : counts_) memory += counts.memory_bytes();
  if (memory > options_.memory_bytes) spill();
}

WordCounts BpeTrainer::take_counts() {
  const std::lock_guard lock(mutex_);
  if (counts_.empty()) return {};
  WordCounts counts = std::move(counts_.back());
  counts_.pop_back();
  return counts;
}

void BpeTrainer::spill() {
  for (const WordCounts& counts : counts_) runs_.emplace_back(options_.spill_folder, counts);
  counts_.clear();
}

void check_vocab_size(int64_t vocab_size) {
  constexpr int64_t kLeast = std::size(kSpecialTokens) + kByteTokens;
  if (vocab_size < kLeast || vocab_size > kLargestVocabulary)
    throw ConfigError(fmt::format("tokenizer.vocab_size = {} must be from {} (the bytes and the special tokens) to {}",
                                  vocab_size, kLeast, kLargestVocabulary));
}

std::unique_ptr<Tokenizer> BpeTrainer::train(int64_t vocab_size) {
  check_vocab_size(vocab_size);
  ByteLevelVocabulary vocabulary{.pattern = options_.pattern};
  for (const char* text : kSpecialTokens) {
    vocabulary.special.push_back({.id = static_cast<TokenId>(vocabulary.tokens.size()), .text = text});
    vocabulary.tokens.emplace_back(text);
  }
  const auto first_byte = static_cast<TokenId>(vocabulary.tokens.size());
  for (int byte = 0; byte < kByteTokens; ++byte) vocabulary.tokens.emplace_back(1, static_cast<char>(byte));
  count_batch();
  if (!runs_.empty()) spill();
  MergeLearner learner(vocabulary, first_byte);
  const auto learn_from = [&](std::string_view word, uint64_t count) {
    learner.add(word, count);
    ++pieces_used_;
  };
  if (runs_.empty()) {
    for (size_t i = 1; i < counts_.size(); ++i) counts_[0].add_all(counts_[i]);
    if (!counts_.empty()) counts_[0].for_each(learn_from);
    distinct_pieces_ = pieces_used_;
  } else {
    distinct_pieces_ = visit_most_frequent_words(runs_, options_.memory_bytes, learn_from);
  }
  counts_.clear();
  learner.learn(static_cast<size_t>(vocab_size));
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

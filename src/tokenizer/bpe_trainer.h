// Learns a byte-level BPE vocabulary from texts that are given one by one and not kept: memory holds the distinct
// pieces with their 64-bit counts, so the result does not depend on the order of the texts. Pieces are counted on all
// compute threads. When the distinct pieces outgrow the memory allowed, sorted runs of them go to unnamed files, and
// the merges are learned from the most frequent pieces that fit; nothing is lost below that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/word_counts.h"
#include "tokenizer/word_runs.h"

namespace starling {

struct BpeTrainerOptions {
  SplitPattern pattern = SplitPattern::kCl100k;
  size_t memory_bytes = size_t{2} << 30;  // of the counts; learning takes about as much again
  std::filesystem::path spill_folder = std::filesystem::temp_directory_path();
};

void check_vocab_size(int64_t vocab_size);  // throws ConfigError for one that BpeTrainer::train() refuses

class BpeTrainer {
 public:
  explicit BpeTrainer(BpeTrainerOptions options = {});
  BpeTrainer(const BpeTrainer&) = delete;

  void add(std::string_view text);

  // Pieces of more than 1024 bytes (texts without spaces) are counted in parts, which bounds the work of one merge.
  // Ties between pairs as in MergeLearner (merge_learner.h). Ids: the special tokens, the 256 bytes, the merged tokens.
  // The vocabulary is smaller than asked when no pair occurs twice. Throws ConfigError when vocab_size < 256 + special
  // tokens, Error when a stop is requested, IoError when runs cannot be written.
  std::unique_ptr<Tokenizer> train(int64_t vocab_size);

  // After train(): the distinct pieces that were seen and those that took part.
  uint64_t distinct_pieces() const { return distinct_pieces_; }
  uint64_t pieces_used() const { return pieces_used_; }
  size_t runs() const { return runs_.size(); }  // that went to files

 private:
  void count_batch();
  void spill();
  WordCounts take_counts();

  BpeTrainerOptions options_;
  std::string batch_;
  std::vector<size_t> batch_ends_;  // of each text in batch_
  std::mutex mutex_;
  std::vector<WordCounts> counts_;  // one a thread; disjoint in time, not in words
  std::deque<WordRun> runs_;
  uint64_t distinct_pieces_ = 0, pieces_used_ = 0;
};

}  // namespace starling

// Word counts that outgrow the memory: runs on disk, each sorted by word, and their merge.
// A run holds records: u64 count, u32 length, then the word's bytes; little-endian.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <string_view>

#include "core/scratch_file.h"
#include "tokenizer/word_counts.h"

namespace starling {

class WordRun {
 public:
  WordRun(const std::filesystem::path& folder, const WordCounts& counts);  // throws IoError
  std::string_view records() const { return records_; }

 private:
  ScratchFile file_;
  std::string_view records_;
};

// Calls visit(word, count), in order of words, for every word whose count over all runs is at least the smallest one at
// which those words fit in `memory_bytes` (kLearningBytes a byte of them). Returns the number of distinct words.
uint64_t visit_most_frequent_words(const std::deque<WordRun>& runs, size_t memory_bytes,
                                   const std::function<void(std::string_view word, uint64_t count)>& visit);

}  // namespace starling

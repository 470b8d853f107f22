// Word counts that outgrow the memory: runs on disk, each sorted by word, and their merge.
// A run is a file of records: u64 count, u32 length, then the word's bytes; little-endian.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

#include "tokenizer/word_counts.h"

namespace starling {

void write_word_run(const std::filesystem::path& path, const WordCounts& counts);  // throws IoError

// Calls visit(word, count), in order of words, for every word whose count over all runs is at least the smallest one at
// which those words fit in `memory_bytes` (kLearningBytes a byte of them). Returns the number of distinct words.
// Throws IoError and, for a damaged run, DataError.
uint64_t visit_most_frequent_words(std::span<const std::filesystem::path> runs, size_t memory_bytes,
                                   const std::function<void(std::string_view word, uint64_t count)>& visit);

}  // namespace starling

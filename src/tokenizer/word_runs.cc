#include "tokenizer/word_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"

namespace starling {
namespace {

constexpr size_t kHeader = sizeof(uint64_t) + sizeof(uint32_t);
// What learning keeps for a byte of a word: its symbol, the word that its pairs remember, and their share of the pairs.
constexpr size_t kLearningBytes = 24;
constexpr uint64_t kExactCounts = 4096;  // larger counts are told apart by their power of two only

// One run while it is merged.
class RunReader {
 public:
  explicit RunReader(const std::filesystem::path& path) : path_(path.string()), file_(path), rest_(file_.text()) {
    next();
  }
  bool done() const { return done_; }
  std::string_view word() const { return word_; }
  uint64_t count() const { return count_; }

  void next() {
    done_ = rest_.empty();
    if (done_) return;
    uint32_t length = 0;
    if (rest_.size() >= kHeader) std::memcpy(&length, rest_.data() + sizeof(count_), sizeof(length));
    if (rest_.size() < kHeader || rest_.size() - kHeader < length)
      throw DataError(fmt::format("{}: ends inside a record; is the disk full?", path_));
    std::memcpy(&count_, rest_.data(), sizeof(count_));
    word_ = rest_.substr(kHeader, length);
    rest_.remove_prefix(kHeader + length);
  }

 private:
  std::string path_;
  MappedFile file_;
  std::string_view rest_, word_;
  uint64_t count_ = 0;
  bool done_ = false;
};

template <typename Visit>
void merge_runs(std::span<const std::filesystem::path> paths, const Visit& visit) {
  std::vector<std::unique_ptr<RunReader>> runs;
  const auto later = [](const RunReader* a, const RunReader* b) { return a->word() > b->word(); };
  std::priority_queue<RunReader*, std::vector<RunReader*>, decltype(later)> heap(later);
  for (const auto& path : paths) {
    runs.push_back(std::make_unique<RunReader>(path));
    if (!runs.back()->done()) heap.push(runs.back().get());
  }
  while (!heap.empty()) {
    const std::string_view word = heap.top()->word();
    uint64_t count = 0;
    while (!heap.empty() && heap.top()->word() == word) {
      RunReader* run = heap.top();
      heap.pop();
      count += run->count();
      run->next();
      if (!run->done()) heap.push(run);
    }
    visit(word, count);
  }
}

// Counts in classes: exact ones, then a class for every power of two.
size_t class_of(uint64_t count) {
  return count < kExactCounts ? count : kExactCounts + static_cast<size_t>(std::bit_width(count));
}

}  // namespace

void write_word_run(const std::filesystem::path& path, const WordCounts& counts) {
  std::vector<std::pair<std::string_view, uint64_t>> words;
  words.reserve(counts.size());
  counts.for_each([&](std::string_view word, uint64_t count) { words.emplace_back(word, count); });
  std::sort(words.begin(), words.end());
  write_file_atomic(path, [&](const AppendBytes& append) {
    std::string buffer;
    for (const auto& [word, count] : words) {
      const auto length = static_cast<uint32_t>(word.size());
      buffer.append(reinterpret_cast<const char*>(&count), sizeof(count));
      buffer.append(reinterpret_cast<const char*>(&length), sizeof(length));
      buffer.append(word);
      if (buffer.size() >= (1 << 20)) {
        append(buffer.data(), buffer.size());
        buffer.clear();
      }
    }
    append(buffer.data(), buffer.size());
  });
}

uint64_t visit_most_frequent_words(std::span<const std::filesystem::path> runs, size_t memory_bytes,
                                   const std::function<void(std::string_view word, uint64_t count)>& visit) {
  std::array<uint64_t, kExactCounts + 65> bytes{};  // by class of count
  uint64_t distinct = 0;
  merge_runs(runs, [&](std::string_view word, uint64_t count) {
    bytes[class_of(count)] += word.size();
    ++distinct;
  });
  size_t smallest = bytes.size();
  for (uint64_t needed = 0; smallest > 0 && needed + bytes[smallest - 1] * kLearningBytes <= memory_bytes;)
    needed += bytes[--smallest] * kLearningBytes;
  merge_runs(runs, [&](std::string_view word, uint64_t count) {
    if (class_of(count) >= smallest) visit(word, count);
  });
  return distinct;
}

}  // namespace starling

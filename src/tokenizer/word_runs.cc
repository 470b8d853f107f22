#include "tokenizer/word_runs.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <queue>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace starling {
namespace {

constexpr size_t kHeader = sizeof(uint64_t) + sizeof(uint32_t);
// What learning keeps for a byte of a word: its symbol, the word that its pairs remember, and their share of the pairs.
constexpr size_t kLearningBytes = 24;
constexpr uint64_t kExactCounts = 4096;  // larger counts are told apart by their power of two only

// One run while it is merged.
class RunReader {
 public:
  explicit RunReader(std::string_view records) : rest_(records) { next(); }
  bool done() const { return done_; }
  std::string_view word() const { return word_; }
  uint64_t count() const { return count_; }

  void next() {
    done_ = rest_.empty();
    if (done_) return;
    uint32_t length = 0;
    std::memcpy(&count_, rest_.data(), sizeof(count_));
    std::memcpy(&length, rest_.data() + sizeof(count_), sizeof(length));
    word_ = rest_.substr(kHeader, length);
    rest_.remove_prefix(kHeader + length);
  }

 private:
  std::string_view rest_, word_;
  uint64_t count_ = 0;
  bool done_ = false;
};

template <typename Visit>
void merge_runs(const std::deque<WordRun>& runs, const Visit& visit) {
  std::deque<RunReader> readers;
  const auto later = [](const RunReader* a, const RunReader* b) { return a->word() > b->word(); };
  std::priority_queue<RunReader*, std::vector<RunReader*>, decltype(later)> heap(later);
  for (const WordRun& run : runs) {
    RunReader& reader = readers.emplace_back(run.records());
    if (!reader.done()) heap.push(&reader);
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

WordRun::WordRun(const std::filesystem::path& folder, const WordCounts& counts) : file_(folder) {
  std::vector<std::pair<std::string_view, uint64_t>> words;
  words.reserve(counts.size());
  counts.for_each([&](std::string_view word, uint64_t count) { words.emplace_back(word, count); });
  if (words.empty()) return;
  std::sort(words.begin(), words.end());
  std::string buffer;
  for (const auto& [word, count] : words) {
    const auto length = static_cast<uint32_t>(word.size());
    buffer.append(reinterpret_cast<const char*>(&count), sizeof(count));
    buffer.append(reinterpret_cast<const char*>(&length), sizeof(length));
    buffer.append(word);
    if (buffer.size() < (1 << 20)) continue;
    file_.append(buffer.data(), buffer.size());
    buffer.clear();
  }
  file_.append(buffer.data(), buffer.size());
  const std::span<std::byte> bytes = file_.map();
  records_ = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

uint64_t visit_most_frequent_words(const std::deque<WordRun>& runs, size_t memory_bytes,
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

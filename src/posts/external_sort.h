// Sorts more rows than the memory holds: sorted runs of them wait in an unnamed file of `folder` and are merged. What
// fits in memory is one run and never leaves it. Rows that are equal under `Less` come in any order. Throws IoError.
//   Source: Knuth, "The art of computer programming", volume 3, section 5.4.1: merging with a heap.
// Memory: the limit. All runs are merged at once, each with its share of the limit, so the rows should take less than
// limit^2 / 16 KiB (0.25 GB gives 4 TB): beyond that a share is less than a page.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/scratch_file.h"
#include "posts/scratch_rows.h"

namespace starling {

template <typename Row, typename Less = std::less<Row>>
class ExternalSort {
  static_assert(std::is_trivially_copyable_v<Row>);

 public:
  ExternalSort(uint64_t max_memory_bytes, std::filesystem::path folder, Less less = {})
      : max_memory_bytes_(max_memory_bytes),
        max_rows_(scratch_rows_in<Row>(max_memory_bytes)),
        folder_(std::move(folder)),
        less_(std::move(less)) {}

  bool is_full() const { return rows_.size() == max_rows_; }  // the next push() sorts a run
  void push(const Row& row) {
    if (is_full()) write_run();
    rows_.push_back(row);
  }
  bool on_disk() const { return file_ != nullptr; }
  uint64_t size() const { return (runs_.empty() ? 0 : runs_.back().end) + rows_.size(); }

  // Calls visit(row) for every row in order. Then there are none, and others may be pushed.
  template <typename Visit>
  void drain(const Visit& visit) {
    if (on_disk()) {
      write_run();
      std::vector<Row>().swap(rows_);
      merge(visit);
      runs_.clear();
      file_.reset();
      return;
    }
    std::sort(rows_.begin(), rows_.end(), less_);
    for (const Row& row : rows_) visit(row);
    rows_.clear();
  }

  // The same as a list. `visit` sees only rows that come from the file.
  template <typename Visit>
  ScratchRows<Row> take(const Visit& visit) {
    if (!on_disk()) {
      std::sort(rows_.begin(), rows_.end(), less_);
      return ScratchRows<Row>(std::exchange(rows_, {}));
    }
    ScratchRows<Row> sorted(max_memory_bytes_ / 4, folder_);
    drain([&](const Row& row) {
      visit(row);
      sorted.push(row);
    });
    return sorted;
  }

 private:
  struct Run {
    uint64_t next, end;  // of the file's rows: not yet read
    std::vector<Row> rows;
    size_t at = 0;
    const Row& front() const { return rows[at]; }
  };

  void write_run() {
    std::sort(rows_.begin(), rows_.end(), less_);
    if (!file_) file_ = std::make_unique<ScratchFile>(folder_);
    file_->append(rows_.data(), rows_.size() * sizeof(Row));
    const uint64_t first = runs_.empty() ? 0 : runs_.back().end;
    runs_.push_back({first, first + rows_.size(), {}});
    rows_.clear();
  }

  // False at the end of the run.
  bool advance(Run& run, size_t share) const {
    if (++run.at < run.rows.size()) return true;
    run.rows.resize(std::min<uint64_t>(share, run.end - run.next));
    file_->read(run.next * sizeof(Row), run.rows.data(), run.rows.size() * sizeof(Row));
    run.next += run.rows.size();
    run.at = 0;
    return !run.rows.empty();
  }

  template <typename Visit>
  void merge(const Visit& visit) {
    const size_t share = std::max<size_t>(max_rows_ / runs_.size(), 1);
    const auto later = [this](const Run* a, const Run* b) { return less_(b->front(), a->front()); };
    std::vector<Run*> heap;
    for (Run& run : runs_)
      if (advance(run, share)) heap.push_back(&run);
    std::make_heap(heap.begin(), heap.end(), later);
    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end(), later);
      visit(heap.back()->front());
      if (advance(*heap.back(), share)) std::push_heap(heap.begin(), heap.end(), later);
      else heap.pop_back();
    }
  }

  uint64_t max_memory_bytes_;
  size_t max_rows_;
  std::filesystem::path folder_;
  Less less_;
  std::vector<Row> rows_;  // of the run that is being gathered
  std::vector<Run> runs_;
  std::unique_ptr<ScratchFile> file_;
};

}  // namespace starling

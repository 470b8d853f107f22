#include "posts/external_sort.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/random.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

std::vector<uint64_t> numbers(size_t count) {
  std::vector<uint64_t> rows;
  for (size_t i = 0; i < count; ++i) rows.push_back(random_u64(1, 2, i) % 1000);
  return rows;
}

TEST(ScratchRows, AreAFileBeyondTheirMemoryAndSayWhereThatCannotBe) {
  ScratchRows<uint64_t> in_memory(16000, "/nowhere"), on_disk(15999, fs::temp_directory_path());
  for (ScratchRows<uint64_t>* list : {&in_memory, &on_disk}) {
    for (uint64_t i = 0; i < 1000; ++i) list->push(i);
    const std::span<uint64_t> rows = list->rows();
    ASSERT_EQ(rows.size(), 1000u);
    for (uint64_t i = 0; i < 1000; ++i) EXPECT_EQ(rows[i], i);
    rows[999] = 7;
    EXPECT_EQ(list->rows()[999], 7u);
  }
  EXPECT_FALSE(in_memory.on_disk());
  EXPECT_TRUE(on_disk.on_disk());
  const ScratchRows<uint64_t> moved = std::move(on_disk);
  EXPECT_TRUE(moved.on_disk());
  ScratchRows<uint64_t> nowhere(0, "/nowhere");
  EXPECT_THROW(for (uint64_t i = 0; i < 1000; ++i) nowhere.push(i), IoError);
}

TEST(ExternalSort, AnyMemoryGivesTheSameOrder) {
  for (const size_t count : {0, 1, 64, 65, 640, 5000}) {
    const std::vector<uint64_t> rows = numbers(count);
    std::vector<uint64_t> wanted = rows;
    std::sort(wanted.begin(), wanted.end());
    for (const uint64_t memory : {0, 3000, 1 << 20}) {
      ExternalSort<uint64_t> sort(memory, fs::temp_directory_path());
      for (int round = 0; round < 2; ++round) {  // an emptied one is as a new one
        for (const uint64_t row : rows) sort.push(row);
        EXPECT_EQ(sort.on_disk(), count > scratch_rows_in<uint64_t>(memory));
        std::vector<uint64_t> found;
        sort.drain([&](uint64_t row) { found.push_back(row); });
        EXPECT_EQ(found, wanted) << count << " rows, " << memory << " bytes";
      }
      for (const uint64_t row : rows) sort.push(row);
      ScratchRows<uint64_t> list = sort.take([](uint64_t) {});
      EXPECT_EQ(std::vector<uint64_t>(list.rows().begin(), list.rows().end()), wanted);
    }
  }
}

TEST(ExternalSort, TakesAnOrderOfItsOwnAndLeavesNoFile) {
  const fs::path folder = fs::temp_directory_path() / ("starling-sort-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  ExternalSort<uint64_t, std::greater<uint64_t>> sort(0, folder);
  for (const uint64_t row : numbers(1000)) sort.push(row);
  EXPECT_TRUE(sort.on_disk());
  EXPECT_TRUE(fs::is_empty(folder));  // its name is gone before the first row is there
  uint64_t last = 1000;
  sort.drain([&](uint64_t row) {
    EXPECT_LE(row, last);
    last = row;
  });
  fs::remove_all(folder);
}

TEST(ExternalSort, SaysWhereItCannotWrite) {
  ExternalSort<uint64_t> sort(0, "/nowhere");
  try {
    for (const uint64_t row : numbers(65)) sort.push(row);
    ADD_FAILURE();
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("/nowhere/scratch"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace starling

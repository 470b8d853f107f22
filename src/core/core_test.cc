#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <thread>

#include "core/config.h"
#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/memory_limit.h"
#include "core/progress.h"
#include "core/random.h"
#include "core/threads.h"
#include "core/time.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

class TemporaryFolder : public ::testing::Test {
 protected:
  fs::path folder_ = fs::temp_directory_path() / ("starling-core-" + random_hex(8));
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
};

using Files = TemporaryFolder;
using Settings = TemporaryFolder;

const std::vector<ConfigKey> kKeys = {{"train.steps", int64_t{100}, "updates"},
                                      {"train.learning_rate", 1e-3, "peak"},
                                      {"search.model", std::string("own"), "model name"}};

TEST_F(Files, AnAtomicWriteThatFailsKeepsTheOldContent) {
  const fs::path path = folder_ / "a.txt";
  write_file_atomic(path, "old");
  EXPECT_THROW(write_file_atomic(path,
                                 [](const AppendBytes& append) {
                                   append("half", 4);
                                   throw DataError("interrupted");
                                 }),
               DataError);
  EXPECT_EQ(read_file(path), "old");
  EXPECT_FALSE(fs::exists(folder_ / "a.txt.tmp"));
}

TEST_F(Files, AnAtomicWriteThatCannotBePutInPlaceLeavesNothingBeside) {
  fs::create_directories(folder_ / "taken");
  EXPECT_THROW(write_file_atomic(folder_ / "taken", "new"), IoError);
  EXPECT_FALSE(fs::exists(folder_ / "taken.tmp"));
}

TEST_F(Files, AFullDiskIsReportedWithThePath) {
  try {
    AppendFile file("/dev/full");
    file.append("x");
    file.sync();
    FAIL() << "/dev/full took a byte";
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("/dev/full"), std::string::npos);
  }
}

TEST_F(Files, ASecondHolderOfALockIsRefused) {
  FileLock first(folder_ / "lock", "train");
  EXPECT_THROW(FileLock(folder_ / "lock", "train"), IoError);
}

// A container's view, and that of a job in groups within groups.
TEST_F(Files, TheLeastMemoryLimitOfTheControlGroupsThatHoldTheProcessCounts) {
  const fs::path groups = folder_ / "cgroup", own = folder_ / "own";
  fs::create_directories(groups / "job/step");
  write_file_atomic(own, "12:cpu:/other\n0::/job/step\n");
  const int64_t machine = memory_limit_bytes(groups, own);
  EXPECT_GT(machine, int64_t{1} << 28);
  write_file_atomic(groups / "job/step/memory.max", "max\n");
  EXPECT_EQ(memory_limit_bytes(groups, own), machine);
  write_file_atomic(groups / "job/memory.max", "2097152\n");
  EXPECT_EQ(memory_limit_bytes(groups, own), 2097152);
  write_file_atomic(groups / "job/step/memory.max", "1048576\n");
  EXPECT_EQ(memory_limit_bytes(groups, own), 1048576);
  write_file_atomic(own, "0::/\n");
  EXPECT_EQ(memory_limit_bytes(groups, own), machine);
  write_file_atomic(groups / "memory.max", "4096\n");
  EXPECT_EQ(memory_limit_bytes(groups, own), 4096);
  EXPECT_EQ(memory_limit_bytes(groups, folder_ / "none"), machine);
}

TEST_F(Files, OfAMemoryLimitIsLeftWhatTheProcessDoesNotHold) {
  const fs::path groups = folder_ / "cgroup", own = folder_ / "own";
  fs::create_directories(groups);
  write_file_atomic(own, "0::/\n");
  const int64_t machine = memory_left_bytes(groups, own);
  EXPECT_GT(machine, 0);
  EXPECT_LT(machine, memory_limit_bytes(groups, own));
  write_file_atomic(groups / "memory.max", "33554432\n");
  EXPECT_LT(memory_left_bytes(groups, own), 33554432);
  const std::string held(1 << 25, 'x');
  EXPECT_EQ(memory_left_bytes(groups, own), 0) << held.size();
}

TEST_F(Settings, LaterSourcesOverrideEarlierOnes) {
  write_file_atomic(folder_ / "s.toml", "[train]\nsteps = 7\nlearning_rate = 1\n");
  Config config(kKeys);
  config.load_file(folder_ / "s.toml");
  config.set("train.steps=9");
  EXPECT_EQ(config.integer("train.steps"), 9);
  EXPECT_EQ(config.number("train.learning_rate"), 1.0);
  EXPECT_EQ(config.text("search.model"), "own");
}

TEST_F(Settings, AnUnknownKeyNamesTheFileTheLineAndTheNearestKey) {
  write_file_atomic(folder_ / "s.toml", "[train]\nstep = 7\n");
  Config config(kKeys);
  try {
    config.load_file(folder_ / "s.toml");
    FAIL();
  } catch (const ConfigError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("s.toml:2"), std::string::npos) << message;
    EXPECT_NE(message.find("train.steps"), std::string::npos) << message;
  }
}

TEST_F(Settings, NoSettingIsNan) {
  const std::vector<ConfigKey> keys = {{"train.rate", 0.5, "peak"}};
  Config config(keys);
  EXPECT_THROW(config.set("train.rate=nan"), ConfigError);
  EXPECT_THROW(config.load_text("[train]\nrate = nan\n", "s.toml"), ConfigError);
  EXPECT_EQ(config.number("train.rate"), 0.5);
}

// The first is a place where toml++ itself would end the program, the last two are undefined behaviour in it.
TEST_F(Settings, AMalformedDocumentIsAnErrorThatNamesTheFile) {
  Config config(kKeys);
  for (const char* text : {"[= 2]\n", "[train\n", "[train]\nsteps = = 7\n", "é = 1\n", "steps = 7 あ\n"}) {
    try {
      config.load_text(text, "s.toml");
      ADD_FAILURE() << text;
    } catch (const ConfigError& error) {
      EXPECT_TRUE(std::string_view(error.what()).starts_with("s.toml:")) << error.what();
    }
  }
}

TEST_F(Settings, ResolvedTextLoadsBackToTheSameValues) {
  Config config(kKeys);
  config.set("search.model=a\"b\\c");
  write_file_atomic(folder_ / "resolved.toml", config.to_toml());
  Config again(kKeys);
  again.load_file(folder_ / "resolved.toml");
  EXPECT_EQ(again.text("search.model"), "a\"b\\c");
  EXPECT_EQ(again.to_toml(), config.to_toml());
}

TEST_F(Settings, ATextOfSeveralLinesLoadsBack) {
  Config config(kKeys), again(kKeys);
  config.load_text("[search]\nmodel = \"a\\tb\\nc\\u007F\"\n", "s.toml");
  again.load_text(config.to_toml(), "resolved.toml");
  EXPECT_EQ(again.text("search.model"), "a\tb\nc\x7F");
}

TEST(Philox, MatchesThePublishedVectors) {  // Random123 known-answer tests, philox4x32-10
  EXPECT_EQ(philox4x32(0, 0, 0), (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32(~0ull, ~0ull, ~0ull), (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(ParallelFor, CoversEveryIndexOnce) {
  for (int64_t count : {1, 2, 7, 1000}) {
    std::vector<int> hits(count);
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++hits[i];
    });
    EXPECT_EQ(std::accumulate(hits.begin(), hits.end(), int64_t{0}), count);
    EXPECT_EQ(*std::min_element(hits.begin(), hits.end()), 1);
  }
}

TEST(ParallelFor, LosesNoCallWhetherItsWorkersLookOrSleep) {
  std::atomic<int64_t> sum = 0;
  const auto add = [&](int64_t begin, int64_t end) { sum += end - begin; };
  int64_t wanted = 0;
  for (int64_t call = 0; call < 3000; ++call) {
    parallel_for(call % 7 + 1, call % 3 + 1, add);
    wanted += call % 7 + 1;
    // Longer than a worker looks for the next call; every other pause is too short for it to fall asleep.
    if (call % 50 == 0) std::this_thread::sleep_for(std::chrono::microseconds(call % 100 == 0 ? 300 : 30));
  }
  EXPECT_EQ(sum, wanted);
}

TEST(SharedItems, AreTakenOnceEachAndOthersTakeOverWhatASlowThreadLeaves) {
  for (const int64_t count : {1, 7, 1000}) {
    std::vector<std::atomic<int>> taken(static_cast<size_t>(count));
    std::atomic<int64_t> all = 0;
    SharedItems items(count, 1);
    parallel_for(items.ranges(), 1, [&](int64_t range, int64_t) {
      for (int64_t item; (item = items.take(range)) >= 0;) {
        ++taken[static_cast<size_t>(item)];
        // The slow one: done with its first item when the others have done all the rest.
        while (range == 0 && items.ranges() > 1 && all < count - 1) std::this_thread::yield();
        ++all;
      }
    });
    for (const auto& times : taken) EXPECT_EQ(times, 1);
    EXPECT_EQ(items.take(0), -1);
  }
}

TEST(ParallelFor, TakesNoMoreThreadsThanItCanCount) {
  EXPECT_THROW(set_compute_threads(0), ConfigError);
  EXPECT_THROW(set_compute_threads(1 << 16), ConfigError);
}

TEST(ParallelFor, RethrowsTheExceptionOfABody) {
  EXPECT_THROW(parallel_for(100, 1,
                            [](int64_t, int64_t end) {
                              if (end == 100) throw DataError("x");
                            }),
               DataError);
}

TEST(Progress, SaysWhatIsLeftOnceTheTotalIsKnown) {
  Progress progress("train own", 0, "steps");
  progress.update(10);
  EXPECT_EQ(progress.line(5, "loss 3"), "train own: 10 steps, 2.0/s, 0:05  loss 3");
  progress.set_total(100);
  EXPECT_EQ(progress.line(5), "train own: [==                      ]  10% 0:45 left, 10 steps, 2.0/s, 0:05");
}

// As when the connection ends over which a command was started that goes on.
TEST(Progress, ATerminalThatIsGoneDoesNotEndTheWork) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY), standard_error = ::dup(STDERR_FILENO);
  if (terminal < 0 || ::grantpt(terminal) != 0 || ::unlockpt(terminal) != 0)
    GTEST_SKIP() << "no pseudo-terminals here: /dev/pts is not mounted";
  const int writes = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY);
  ::dup2(writes, STDERR_FILENO);
  {
    Progress progress("train own", 10, "steps");
    ::close(terminal);
    std::this_thread::sleep_for(std::chrono::milliseconds(250));  // longer than between two drawings
    EXPECT_NO_THROW(progress.update(1));
  }
  ::dup2(standard_error, STDERR_FILENO);
  ::close(writes), ::close(standard_error);
}

TEST(Progress, WhatWasDoneBeforeDoesNotCountForTheRate) {
  Progress progress("train own", 100, "steps", 90);
  progress.update(95);
  EXPECT_EQ(progress.line(5), "train own: [======================  ]  95% 0:05 left, 95 steps, 1.0/s, 0:05");
}

TEST(Time, ReadsIsoAndSecondsAndRefusesTheRest) {
  EXPECT_EQ(parse_time("2017-03-01T12:00:00Z"), 1488369600);
  EXPECT_EQ(parse_time("2017-03-01T14:00:00.25+02:00"), 1488369600);
  EXPECT_EQ(parse_time("2017-03-01 12:00"), 1488369600);
  for (const char* offset : {"14:00:00+02", "12:00:00+00", "14:00+0200", "07:30-04:30"})
    EXPECT_EQ(parse_time(std::string("2017-03-01T") + offset), 1488369600) << offset;
  EXPECT_EQ(parse_time("1488369600"), 1488369600);
  for (const char* bad :
       {"", "2017-13-01", "2017-02-30", "yesterday", "2017-03-01T25:00", "2017-03-01x", "2017-03-01T12:00+",
        "2017-03-01T12:00+2", "2017-03-01T12:00+02:", "2017-03-01T12:00+02:0", "2017-03-01T12:00+020"})
    EXPECT_FALSE(parse_time(bad)) << bad;
  EXPECT_EQ(format_time(1488369600), "2017-03-01T12:00:00Z");
}

TEST(JsonDepth, CountsBracketsOutsideStrings) {
  EXPECT_EQ(json_depth("1"), 0);
  EXPECT_EQ(json_depth(R"({"a":[1,[2]]})"), 3);
  EXPECT_EQ(json_depth(R"({"a":"[[[[\"[["})"), 1);
}

TEST(Hash, MatchesThePublishedDigests) {  // FIPS 180-4 example; RFC 4231 test case 2
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hmac_sha256_hex("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

}  // namespace
}  // namespace starling

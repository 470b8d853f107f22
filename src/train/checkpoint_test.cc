#include "train/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

class Checkpoint : public testing::Test {
 protected:
  Checkpoint()
      : folder_(fs::temp_directory_path() / ("starling-checkpoint-" + std::to_string(::getpid()))),
        config_(tiny()),
        parameters_(config_, DType::f32),
        optimizer_(parameters_, true) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    write_file_atomic(folder_ / "tokenizer.json", "{}");
    parameters_.initialize(1);
    fill(optimizer_.first_moment(), 1);
    fill(optimizer_.second_moment(), 2);
  }
  ~Checkpoint() override { fs::remove_all(folder_); }

  static ModelConfig tiny() {
    ModelConfig c;
    c.vocab_size = 40, c.hidden_size = 16, c.intermediate_size = 32, c.num_layers = 1, c.num_heads = c.num_kv_heads = 2,
    c.max_positions = 16;
    return c;
  }
  static void fill(Tensor tensor, uint64_t stream) {
    for (int64_t i = 0; i < tensor.elements(); ++i)
      tensor.as<float>()[i] = random_normal(9, stream, static_cast<uint64_t>(i));
  }
  void save(int64_t step, int64_t keep = 2) {
    SeenIds seen;
    seen.add("post", "7");
    save_checkpoint(folder_ / "checkpoints", config_, parameters_, optimizer_,
                    {.step = step,
                     .total_steps = 100,
                     .tokens = step * 8,
                     .seconds = 1.5,
                     .cursor = {1, 2, 3},
                     .spikes = {{2.5, 2.25}, {1.0, 0.5}, 3, 1},
                     .noise = {0.125, 7.5, 12},
                     .shards_sha256 = "abc"},
                    seen, folder_ / "tokenizer.json", keep);
  }
  fs::path latest() const { return *latest_checkpoint(folder_ / "checkpoints"); }

  fs::path folder_;
  ModelConfig config_;
  Parameters parameters_;
  Optimizer optimizer_;
};

TEST_F(Checkpoint, LoadsTheBitsThatWereSaved) {
  save(5);
  Parameters parameters(config_, DType::f32);
  Optimizer optimizer(parameters, true);
  const TrainState state = load_checkpoint(latest(), parameters, optimizer);
  EXPECT_EQ(state.step, 5);
  EXPECT_EQ(state.total_steps, 100);
  EXPECT_EQ(state.cursor, (DataCursor{1, 2, 3}));
  EXPECT_EQ(state.spikes.losses, (std::vector<double>{2.5, 2.25}));
  EXPECT_EQ(state.spikes.norms, (std::vector<double>{1.0, 0.5}));
  EXPECT_EQ(state.spikes.skipped, 3);
  EXPECT_EQ(state.noise.noise, 7.5);
  for (const auto& [a, b] : {std::pair(parameters.values(), parameters_.values()),
                             std::pair(optimizer.first_moment(), optimizer_.first_moment()),
                             std::pair(optimizer.second_moment(), optimizer_.second_moment())})
    EXPECT_EQ(std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes())), 0);
}

TEST_F(Checkpoint, KeepsTheNewestOnesOnly) {
  for (int64_t step : {1, 2, 3, 4}) save(step, 2);
  EXPECT_EQ(latest().filename(), "step-00000004");
  EXPECT_FALSE(fs::exists(folder_ / "checkpoints/step-00000002"));
  EXPECT_TRUE(fs::exists(folder_ / "checkpoints/step-00000003"));
}

// A kill between a checkpoint's rename and `latest` leaves one that no run goes on from.
TEST_F(Checkpoint, TheNewestIsKeptBesideOneOfALaterStep) {
  for (int64_t step : {5, 9}) save(step);
  write_file_atomic(folder_ / "checkpoints/latest", "step-00000005\n");
  save(7, 1);
  EXPECT_EQ(load_checkpoint(latest(), parameters_, optimizer_).step, 7);
  EXPECT_FALSE(fs::exists(folder_ / "checkpoints/step-00000009"));
}

TEST_F(Checkpoint, AFolderIsThereWhileItIsReplaced) {
  const auto write = [](const fs::path& hidden) { write_file_atomic(hidden / "file", "x"); };
  write_folder_atomic(folder_ / "model", write);
  std::atomic<bool> done = false;
  std::atomic<int> missing = 0;
  std::thread reader([&] {
    while (!done) missing += fs::exists(folder_ / "model/file") ? 0 : 1;
  });
  for (int i = 0; i < 300; ++i) write_folder_atomic(folder_ / "model", write);
  done = true;
  reader.join();
  EXPECT_EQ(missing, 0);
  EXPECT_FALSE(fs::exists(folder_ / ".model.new"));
  EXPECT_FALSE(fs::exists(folder_ / ".model.old"));
}

TEST_F(Checkpoint, AFlippedBitInAnyFileIsFoundAndTheFileNamed) {
  save(5);
  const fs::path checkpoint = latest();
  for (const char* name :
       {"config.json", "model.safetensors", "optimizer.safetensors", "tokenizer.json", "seen.bin", "state.json"}) {
    const std::string whole = read_file(checkpoint / name);
    for (uint64_t round = 0; round < 20; ++round) {
      std::string flipped = whole;
      flipped[random_u64(1, 1, round) % flipped.size()] ^= static_cast<char>(1 << random_u64(1, 2, round) % 8);
      std::ofstream(checkpoint / name, std::ios::binary) << flipped;
      try {
        load_checkpoint(checkpoint, parameters_, optimizer_);
        // White space of state.json means nothing; every other byte does.
        EXPECT_TRUE(std::string(name) == "state.json") << name << " round " << round;
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find(checkpoint.string()), std::string::npos) << error.what();
      }
    }
    std::ofstream(checkpoint / name, std::ios::binary) << whole;
  }
  EXPECT_NO_THROW(load_checkpoint(checkpoint, parameters_, optimizer_));
}

TEST_F(Checkpoint, ATruncatedFileIsFound) {
  save(5);
  const fs::path checkpoint = latest();
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json"}) {
    const std::string whole = read_file(checkpoint / name);
    for (size_t length : {size_t{0}, size_t{7}, whole.size() / 2, whole.size() - 2}) {
      std::ofstream(checkpoint / name, std::ios::binary) << whole.substr(0, length);
      EXPECT_THROW(load_checkpoint(checkpoint, parameters_, optimizer_), Error) << name << " " << length;
    }
    std::ofstream(checkpoint / name, std::ios::binary) << whole;
  }
}

// A limit on the size of files stands for a disk that fills up in the middle of the weights.
TEST_F(Checkpoint, AFullDiskIsAnErrorAndTheLastCheckpointStays) {
  save(5);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{}, full{};
  getrlimit(RLIMIT_FSIZE, &before);
  full = before;
  full.rlim_cur = 4096;
  setrlimit(RLIMIT_FSIZE, &full);
  EXPECT_THROW(save(6), IoError);
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(latest().filename(), "step-00000005");
  EXPECT_EQ(load_checkpoint(latest(), parameters_, optimizer_).step, 5);
  EXPECT_FALSE(fs::exists(folder_ / "checkpoints/.step-00000006.new"));
  save(6);
  EXPECT_EQ(latest().filename(), "step-00000006");
}

TEST_F(Checkpoint, AFolderThatCouldNotBeWrittenLeavesNothingBeside) {
  const fs::path target = folder_ / "models" / "own";
  EXPECT_THROW(write_folder_atomic(target, [](const fs::path& hidden) { fs::create_directory(hidden / "a" / "b"); }),
               IoError);
  EXPECT_TRUE(fs::is_empty(target.parent_path()));
}

TEST_F(Checkpoint, TellsWhichPostsAndAuthorsItSaw) {
  save(5);
  EXPECT_TRUE(SeenIds::contains(latest() / "seen.bin", "post", "7"));
  EXPECT_FALSE(SeenIds::contains(latest() / "seen.bin", "author", "7"));
  EXPECT_FALSE(SeenIds::contains(latest() / "seen.bin", "post", "8"));
}

// As a trainer does while a deletion asks which checkpoints saw a post.
TEST_F(Checkpoint, OneThatIsRemovedMeanwhileIsNoneThatSaw) {
  const Workspace workspace{folder_};
  const fs::path kept = workspace.run("own") / "checkpoints/step-00000002",
                 passing = kept.parent_path() / "step-00000001";
  const fs::path hidden = kept.parent_path() / ".step-00000001.new";
  SeenIds seen;
  seen.add("post", "7");
  fs::create_directories(kept);
  seen.save(kept / "seen.bin");
  std::atomic<bool> done = false;
  std::thread trainer([&] {
    while (!done) {
      fs::copy(kept, hidden);
      fs::rename(hidden, passing);
      fs::remove_all(passing);
    }
  });
  for (int i = 0; i < 10'000; ++i) {
    try {
      EXPECT_EQ(checkpoints_that_saw(workspace, "post", "7").back(), "runs/own/checkpoints/step-00000002");
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
      break;
    }
  }
  done = true;
  trainer.join();
}

TEST_F(Checkpoint, WhatACrashLeftHalfWrittenIsIgnoredAndRemoved) {
  save(5);
  fs::create_directories(folder_ / "checkpoints/.step-00000006.new");
  EXPECT_EQ(latest().filename(), "step-00000005");
  save(7);
  EXPECT_FALSE(fs::exists(folder_ / "checkpoints/.step-00000006.new"));
}

}  // namespace
}  // namespace starling

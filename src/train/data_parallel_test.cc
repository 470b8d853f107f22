// One run by several ranks: threads here, and processes where mpirun starts them.
#include "train/data_parallel.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/stop.h"
#include "ops/matmul.h"
#include "store/control_db.h"
#include "train/trainer.h"
#include "train/trainer_fixture.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

// One run by `count` ranks in threads of this process: rank 0's result.
TrainResult train_on_ranks(int count, const Workspace& workspace, const Config& config,
                           const TrainRequest& request = {}) {
  auto ranks = make_thread_communicators(count);
  std::vector<TrainResult> results(ranks.size());
  std::vector<std::thread> threads;
  for (size_t rank = 0; rank < ranks.size(); ++rank)
    threads.emplace_back([&, rank] {
      const std::unique_ptr<Communicator> world = std::move(ranks[rank]);
      results[rank] = train(workspace, config, request, *world);
    });
  for (std::thread& thread : threads) thread.join();
  for (const TrainResult& result : results) EXPECT_EQ(result.steps, results[0].steps);
  return results[0];
}

std::vector<double> logged_losses(const Workspace& workspace) {
  std::istringstream lines(read_file(workspace.run("own") / "log.jsonl"));
  std::vector<double> losses;
  for (std::string line; std::getline(lines, line);) losses.push_back(nlohmann::json::parse(line)["loss"]);
  return losses;
}

Config exact_config(std::initializer_list<const char*> more = {}) {  // 8 sequences a step
  Config config = small_config({"train.steps=20", "train.checkpoint_interval=10", "train.precision=f32"});
  for (const char* setting : more) config.set(setting);
  return config;
}

// Ranks add the same gradients in another order: a few units of 2^-24 of a loss of about 6. Where bf16 is fast, Muon
// rounds them to it, some the other way then.
constexpr double kRounding = 2e-6, kRoundingOfBf16 = 3e-4;

void expect_near_losses(const std::vector<double>& got, const std::vector<double>& wanted,
                        double rounding = bf16_products_are_fast() ? kRoundingOfBf16 : kRounding) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], rounding) << "step " << i + 1;
}

TEST_F(TrainerTest, WithAdamWAnyNumberOfRanksHasTheLossesOfOneOnEveryProcessor) {
  const Config config = exact_config({"train.optimizer=adamw"});
  train(workspace_, config, {});
  const std::vector<double> alone = logged_losses(workspace_);
  for (const int count : {2, 3}) {
    train_on_ranks(count, workspace_, config);
    expect_near_losses(logged_losses(workspace_), alone, kRounding);
  }
}

TEST_F(TrainerTest, AnyNumberOfRanksHasTheLossesOfOneAndTheSameNumberTheSameBits) {
  train(workspace_, exact_config(), {});
  const std::vector<double> alone = logged_losses(workspace_);
  const std::string seen = read_file(workspace_.model("own") / "seen.bin");
  for (const int count : {2, 3, 4}) {  // 3: of 8 sequences 2, 3 and 3
    const TrainResult result = train_on_ranks(count, workspace_, exact_config());
    EXPECT_EQ(result.ranks, count);
    expect_near_losses(logged_losses(workspace_), alone);
    EXPECT_EQ(read_file(workspace_.model("own") / "seen.bin"), seen);
  }
  const std::string bits = sha256_file_hex(workspace_.model("own") / "model.safetensors");
  train_on_ranks(4, workspace_, exact_config());
  EXPECT_EQ(sha256_file_hex(workspace_.model("own") / "model.safetensors"), bits);
}

TEST_F(TrainerTest, ACheckpointOfTwoRanksGoesOnWithOneAndWithThree) {
  train(workspace_, exact_config(), {});
  const std::vector<double> alone = logged_losses(workspace_);
  train_on_ranks(2, workspace_, exact_config());
  for (const int count : {1, 3}) {
    fs::remove_all(workspace_.model("own"));  // as if interrupted after step 15
    write_file_atomic(workspace_.run("own") / "checkpoints" / "latest", "step-00000010\n");
    EXPECT_EQ(train_on_ranks(count, workspace_, exact_config(), {.name = "own", .resume = true}).steps, 20);
    expect_near_losses(logged_losses(workspace_), alone);
  }
}

TEST_F(TrainerTest, AnErrorOfOneRankEndsAll) {
  {
    ControlDb db(workspace_.control_db());
    for (int author = 0; author < 11; ++author) db.add_opt_out("a" + std::to_string(author), "training");
  }
  auto ranks = make_thread_communicators(2);
  std::thread other([&] {
    const std::unique_ptr<Communicator> world = std::move(ranks[1]);
    EXPECT_THROW(train(workspace_, exact_config(), {}, *world), CommError);
  });
  std::unique_ptr<Communicator> world = std::move(ranks[0]);
  EXPECT_THROW(train(workspace_, exact_config(), {}, *world), DataError);  // nothing to train on
  world.reset();
  other.join();
}

TEST_F(TrainerTest, MoreRanksThanSequencesAreRefused) {
  auto ranks = make_thread_communicators(9);
  std::vector<std::thread> threads;
  for (auto& rank : ranks)
    threads.emplace_back([this, world = std::move(rank)]() mutable {
      EXPECT_THROW(train(workspace_, exact_config(), {}, *world), ConfigError);
      world.reset();
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(Ranks, WeightsThatDifferAreAnErrorOnEveryRank) {
  auto ranks = make_thread_communicators(2);
  std::vector<std::thread> threads;
  for (auto& rank : ranks)
    threads.emplace_back([world = std::move(rank)] {
      float values[3] = {1, 2, 3};
      const Tensor weights(values, DType::f32, {3});
      EXPECT_NO_THROW(check_same(*world, weights, "weights"));
      values[2] += 0.5f * static_cast<float>(world->rank());
      EXPECT_THROW(check_same(*world, weights, "weights"), CommError);
    });
  for (std::thread& thread : threads) thread.join();
}

// These two are run by mpirun as well (train_test_mpi), where each process is a rank; else they are a world of one.
class TrainWorld : public testing::Test {
 protected:
  TrainWorld() {
    std::string folder = temporary("world").string();  // rank 0's, for all
    if (world_->rank() == 0) workspace_ = make_workspace(folder);
    share(*world_, folder);
    workspace_ = Workspace{folder};
  }
  ~TrainWorld() override {
    world_->barrier();
    if (world_->rank() == 0) fs::remove_all(workspace_.root);
  }
  std::unique_ptr<Communicator> world_ = make_communicator("auto");
  Workspace workspace_;
};

TEST_F(TrainWorld, ProcessesHaveTheLossesOfOne) {
  const TrainResult result = train(workspace_, exact_config(), {});
  EXPECT_EQ(result.ranks, world_->size());
  EXPECT_EQ(result.rank, world_->rank());
  if (world_->rank() != 0) return;
  const std::vector<double> together = logged_losses(workspace_);
  train(workspace_, exact_config({"train.communicator=self"}), {});
  expect_near_losses(together, logged_losses(workspace_));
}

TEST_F(TrainWorld, AStopAskedOfOneRankEndsAllAfterTheSameStepWithACheckpoint) {
  if (world_->size() == 1) GTEST_SKIP() << "a stop cannot be taken back: it would end the tests after this one";
  std::thread asks;
  if (world_->rank() == 1)
    asks = std::thread([this] {
      while (logged_steps(workspace_) < 5) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      request_stop();
    });
  const TrainResult result = train(workspace_, exact_config({"train.steps=100000"}), {});
  if (asks.joinable()) asks.join();
  EXPECT_TRUE(result.stopped);
  for (const double steps : world_->all_gather(static_cast<double>(result.steps)))
    EXPECT_EQ(steps, static_cast<double>(result.steps));
  EXPECT_TRUE(fs::exists(workspace_.run("own") / "checkpoints" / fmt::format("step-{:08}", result.steps)));
}

}  // namespace
}  // namespace starling

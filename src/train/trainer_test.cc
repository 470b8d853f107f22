// The whole trainer on a small workspace: killed and resumed, stopped, budgeted, masked.
#include "train/trainer.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/random.h"
#include "core/stop.h"
#include "ops/matmul.h"
#include "posts/post_store.h"
#include "store/control_db.h"
#include "train/lineage.h"
#include "train/options.h"
#include "train/run_log.h"
#include "train/text_examples.h"
#include "train/trainer_fixture.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

// Runs as a process of its own, started by the test below.
TEST(TrainKill, DISABLED_Child) {
  const char* folder = std::getenv("STARLING_TRAIN_KILL_WORKSPACE");
  if (folder) train(Workspace{folder}, small_config({"train.steps=100"}), {.name = "own", .resume = true});
}

pid_t start_child(const Workspace& workspace, const std::string& test = "TrainKill.DISABLED_Child") {
  const pid_t child = fork();
  if (child == 0) {
    setenv("STARLING_TRAIN_KILL_WORKSPACE", workspace.root.c_str(), 1);
    if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(3);
    execl("/proc/self/exe", "train_test", ("--gtest_filter=" + test).c_str(), "--gtest_also_run_disabled_tests",
          nullptr);
    _exit(2);
  }
  return child;
}

// Kills the child at a random moment after it has logged `step`.
void kill_after(pid_t child, const Workspace& workspace, int64_t step, uint64_t round) {
  while (logged_steps(workspace) < step && waitpid(child, nullptr, WNOHANG) == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  std::this_thread::sleep_for(
      std::chrono::microseconds(random_u64(static_cast<uint64_t>(::getpid()), 5, round) % 40'000));
  kill(child, SIGKILL);
}

TEST(TrainKill, KilledTenTimesAtRandomItEndsWithTheBitsOfAnUninterruptedRun) {
  const Workspace whole = make_workspace(temporary("whole")), killed = make_workspace(temporary("killed"));
  int status = 0;
  waitpid(start_child(whole), &status, 0);
  ASSERT_EQ(status, 0);
  int kills = 0;
  for (uint64_t round = 0; round < 10; ++round) {
    const pid_t child = start_child(killed);
    kill_after(child, killed, static_cast<int64_t>(2 + 5 * round), round);
    waitpid(child, &status, 0);
    kills += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }
  waitpid(start_child(killed), &status, 0);
  ASSERT_EQ(status, 0);
  EXPECT_EQ(kills, 10);
  EXPECT_EQ(sha256_file_hex(killed.model("own") / "model.safetensors"),
            sha256_file_hex(whole.model("own") / "model.safetensors"));
  EXPECT_EQ(logged_steps(killed), logged_steps(whole));
  fs::remove_all(whole.root);
  fs::remove_all(killed.root);
}

TEST_F(TrainerTest, LearnsAndLeavesARunFolderAndAModelFolder) {
  const TrainResult result = train(workspace_, small_config({"train.checkpoint_interval=1000"}), {});
  EXPECT_EQ(result.steps, 60);
  EXPECT_EQ(result.tokens, 60 * 256);
  EXPECT_LT(result.loss, 4.5);  // a uniform guess over 320 tokens costs ln 320 = 5.77
  EXPECT_GT(result.validation_bits_per_byte, 0.1);
  for (const char* file : {"starling.toml", "log.jsonl", "loss.svg", "card.md", "checkpoints/latest"})
    EXPECT_TRUE(fs::exists(workspace_.run("own") / file)) << file;
  for (const char* file : {"config.json", "model.safetensors", "tokenizer.json", "seen.bin", "lineage.json"})
    EXPECT_TRUE(fs::exists(workspace_.model("own") / file)) << file;
  EXPECT_THROW(train(workspace_, small_config(), {.name = "own", .resume = true}), ConfigError);  // finished
}

TEST_F(TrainerTest, ARunSavesWhoseProductsItTook) {
  train(workspace_, small_config({"train.steps=2"}), {});
  const std::string settings = read_file(workspace_.run("own") / "starling.toml");
  EXPECT_EQ(settings.find("products = \"auto\""), std::string::npos);
  EXPECT_NE(settings.find(fmt::format("products = \"{}\"", name_of(products_in_use()))), std::string::npos);
}

TEST_F(TrainerTest, ADeletedPostAndAnOptedOutAuthorAreNotSeenByTheModel) {
  {
    ControlDb db(workspace_.control_db());
    db.add_tombstone({"post", "p5", 1, "test"});
    db.add_opt_out("a3", "training");
  }
  train(workspace_, small_config({"train.checkpoint_interval=1000"}), {});
  EXPECT_EQ(checkpoints_that_saw(workspace_, "post", "p5"), std::vector<std::string>{});
  EXPECT_EQ(checkpoints_that_saw(workspace_, "author", "a3"), std::vector<std::string>{});
  EXPECT_EQ(checkpoints_that_saw(workspace_, "post", "p4"),
            (std::vector<std::string>{"models/own", "runs/own/checkpoints/step-00000060"}));
  EXPECT_NE(read_file(workspace_.run("own") / "card.md").find("19 samples already in the shards were passed over"),
            std::string::npos);
}

TEST_F(TrainerTest, APostDeletedAfterItWasReadStaysListedAsSeen) {
  std::thread training([&] {
    // Checkpoints are kept, so that none vanishes while they are searched.
    train(workspace_,
          small_config(
              {"train.steps=300", "train.start=random", "train.checkpoint_interval=20", "train.keep_checkpoints=100"}),
          {.name = "own"});
  });
  const fs::path latest = workspace_.run("own") / "checkpoints/latest";
  while (!fs::exists(latest)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::string read;
  for (int i = 0; i < 200 && read.empty(); ++i)
    if (const std::string id = fmt::format("p{}", i); !checkpoints_that_saw(workspace_, "post", id).empty()) read = id;
  ControlDb(workspace_.control_db()).add_tombstone({"post", read, 1, "test"});
  training.join();
  EXPECT_TRUE(SeenIds::contains(workspace_.model("own") / "seen.bin", "post", read)) << read;
}

TEST_F(TrainerTest, PostsCountedForTheStartAreSeenFromTheFirstStepOn) {
  const auto posts_seen = [&](const char* start) {
    fs::remove_all(workspace_.run("own"));
    train(workspace_, small_config({"train.steps=1", start}), {});
    const SeenIds seen = SeenIds::load(workspace_.model("own") / "seen.bin");
    int posts = 0;
    for (int i = 0; i < 200; ++i) posts += seen.contains("post", fmt::format("p{}", i));
    return posts;
  };
  EXPECT_LT(posts_seen("train.start=random"), 20);
  EXPECT_EQ(posts_seen("train.start=bigrams"), 200);
  EXPECT_EQ(posts_seen("model.tied_head=true"), posts_seen("train.start=random"));  // the default needs two tables
}

// What stands where the model folder should be stands for a kill just before it is written.
TEST_F(TrainerTest, TheEndScoresAsManyLaterPostsAsItIsTold) {
  const auto scored = [&](const char* setting) {
    return train(workspace_, small_config({"train.steps=1", setting}), {}).validation_samples;
  };
  EXPECT_EQ(scored("train.final_evaluation_samples=3"), 3);
  EXPECT_EQ(scored("train.final_evaluation_samples=0"), 20);
}

TEST_F(TrainerTest, ARunKilledBeforeItsModelIsWrittenIsNotTakenForTheOlderOne) {
  train(workspace_, small_config({"train.steps=2"}), {});
  fs::rename(workspace_.models(), workspace_.root / "older");
  write_file_atomic(workspace_.models(), "no folder");
  fs::remove_all(workspace_.run("own"));
  EXPECT_THROW(train(workspace_, small_config({"train.steps=2", "train.seed=2"}), {}), IoError);
  fs::remove(workspace_.models());
  fs::rename(workspace_.root / "older", workspace_.models());
  train(workspace_, small_config(), {.name = "own", .resume = true});
  EXPECT_NE(read_file(workspace_.model("own") / "lineage.json").find("\"seed\": 2"), std::string::npos);
}

TEST(TrainOptions, ASequenceBeyondTheModelsPositionsIsRefusedBeforeAnythingRuns) {
  const Config config = small_config({"train.sequence_length=128", "train.micro_batch_tokens=256"});
  EXPECT_THROW(model_config(config, 320, 1, 2), ConfigError);
}

TEST_F(TrainerTest, SettingsThatAreRefusedLeaveTheFinishedRunAsItWas) {
  train(workspace_, small_config({"train.steps=2"}), {});
  EXPECT_THROW(train(workspace_, small_config({"model.heads=3"}), {}), ConfigError);
  EXPECT_TRUE(fs::exists(workspace_.run("own") / "card.md"));
  EXPECT_TRUE(fs::exists(workspace_.run("own") / "checkpoints/latest"));
}

// Its rate makes the weights after the first step so large that no later loss is a number.
TEST_F(TrainerTest, ADivergedRunTakesNeitherTheModelsNorTheLastCheckpointsPlace) {
  train(workspace_, small_config({"train.steps=2"}), {});
  const std::string older = sha256_file_hex(workspace_.model("own") / "model.safetensors");
  try {
    train(workspace_,
          small_config({"train.steps=6", "train.checkpoint_interval=1", "train.learning_rate=1e16",
                        "train.embedding_learning_rate=1e16"}),
          {});
    ADD_FAILURE() << "a model of a run that diverged";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("runs/own/starling.toml"), std::string::npos) << error.what();
  }
  EXPECT_EQ(sha256_file_hex(workspace_.model("own") / "model.safetensors"), older);
  EXPECT_EQ(read_file(workspace_.run("own") / "checkpoints/latest"), "step-00000001\n");
}

TEST_F(TrainerTest, WeightsThatTheLastUpdatesRuinedAreNoModel) {
  for (const char* steps : {"train.steps=1", "train.steps=2"}) {
    const Config config = small_config({steps, "train.learning_rate=1e30", "train.embedding_learning_rate=1e30"});
    EXPECT_THROW(train(workspace_, config, {}), Error) << steps;
    EXPECT_FALSE(fs::exists(workspace_.model("own"))) << steps;
    EXPECT_FALSE(fs::exists(workspace_.run("own") / "checkpoints/latest")) << steps;
  }
}

TEST_F(TrainerTest, ATrainedRunWhoseLogIsLostIsFinished) {
  train(workspace_, small_config({"train.steps=2"}), {});
  fs::remove(workspace_.run("own") / "card.md");
  fs::remove(workspace_.run("own") / "log.jsonl");
  EXPECT_EQ(train(workspace_, small_config(), {.name = "own", .resume = true}).steps, 2);
  EXPECT_TRUE(fs::exists(workspace_.run("own") / "card.md"));
}

TEST_F(TrainerTest, ALogWithALossThatWasNotFiniteIsReadBack) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  LogPoint skipped{.step = 1, .loss = kNaN};
  skipped.grad_norm = kNaN;
  skipped.gradient_norms = {1, kNaN};
  RunLog(workspace_.root, 0).add(skipped);
  const RunLog log(workspace_.root, 1);
  ASSERT_EQ(log.points().size(), 1u);
  EXPECT_TRUE(std::isnan(log.points()[0].loss));
  EXPECT_TRUE(std::isnan(log.points()[0].gradient_norms.at(1)));
  EXPECT_NO_THROW(log.plot());
}

// Runs as a process of its own: a stop cannot be taken back. It comes while the later posts are scored, over and over.
TEST(TrainStop, DISABLED_Child) {
  const char* folder = std::getenv("STARLING_TRAIN_KILL_WORKSPACE");
  if (!folder) return;
  const Workspace workspace{folder};
  const int64_t last = std::atoll(std::getenv("STARLING_TRAIN_STOP_AFTER"));
  std::thread stopper([&] {
    while (logged_steps(workspace) < last) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    request_stop();
  });
  const char* evaluation = last < 6 ? "train.evaluation_interval=4" : "train.evaluation_interval=0";
  const TrainResult result =
      train(workspace,
            small_config({"train.steps=6", "train.checkpoint_interval=1000", "train.evaluation_samples=1000000",
                          "train.micro_batch_tokens=32", evaluation}),
            {.name = "own"});
  stopper.join();
  EXPECT_TRUE(result.stopped);
}

TEST(TrainStop, WhatWasTrainedIsSavedWhenAnEvaluationIsStopped) {
  for (const int64_t after : {3, 6}) {  // in the evaluation at step 4, and in the last one
    const Workspace workspace = make_workspace(temporary("stopped"), 10'000);
    setenv("STARLING_TRAIN_STOP_AFTER", std::to_string(after).c_str(), 1);
    int status = 0;
    waitpid(start_child(workspace, "TrainStop.DISABLED_Child"), &status, 0);
    EXPECT_EQ(status, 0) << after;
    const fs::path latest = workspace.run("own") / "checkpoints/latest";
    ASSERT_TRUE(fs::exists(latest)) << after;
    EXPECT_EQ(read_file(latest), fmt::format("step-{:08}\n", logged_steps(workspace)));
    EXPECT_GE(logged_steps(workspace), after);
    fs::remove_all(workspace.root);
  }
}

// The run is at its last step already, and without later posts; what is left is its card.
TEST(TrainStop, DISABLED_ChildAtItsEnd) {
  const char* folder = std::getenv("STARLING_TRAIN_KILL_WORKSPACE");
  if (!folder) return;
  request_stop();
  EXPECT_TRUE(train(Workspace{folder}, small_config(), {.name = "own", .resume = true}).stopped);
}

TEST(TrainStop, ACardIsNotWrittenOfThePostsThatWereCountedBeforeAStop) {
  const Workspace workspace = make_workspace(temporary("stopped"), 0);
  PostStore(workspace.posts()).append_segment({{.id = "1", .text = "a"}, {.id = "2", .text = "b"}});
  train(workspace, small_config({"train.steps=2"}), {});
  const fs::path card = workspace.run("own") / "card.md";
  fs::remove(card);
  int status = 0;
  waitpid(start_child(workspace, "TrainStop.DISABLED_ChildAtItsEnd"), &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(fs::exists(card));
  fs::remove_all(workspace.root);
}

TEST_F(TrainerTest, PreparedTextsAreThoseOfTheShardsWithoutDeletedPosts) {
  {
    ControlDb db(workspace_.control_db());
    db.add_tombstone({"post", "p198", 1, "test"});
    db.add_opt_out("a9", "training");  // p196
  }
  SeenIds seen;
  EXPECT_EQ(prepared_texts(workspace_, 5, seen), (std::vector<std::string>{text_of(195), text_of(197), text_of(199)}));
  const fs::path file = workspace_.root / "seen.bin";
  seen.save(file);
  EXPECT_TRUE(SeenIds::contains(file, "post", "p197"));
  EXPECT_FALSE(SeenIds::contains(file, "post", "p198"));
}

TEST_F(TrainerTest, TheLogHoldsNoiseScaleAndNormsOfEveryPart) {
  train(workspace_,
        small_config(
            {"train.checkpoint_interval=1000", "train.schedule=wsd", "train.z_loss=0.0001", "train.recompute=true"}),
        {});
  const std::string log = read_file(workspace_.run("own") / "log.jsonl");
  const std::string last_line = log.substr(log.rfind("{\"step\":"));
  const nlohmann::json last = nlohmann::json::parse(last_line);
  EXPECT_EQ(last["skipped_steps"], 0);
  EXPECT_GT(last["noise_scale_tokens"].get<double>(), 0);
  ASSERT_EQ(last["gradient_norms"].size(), 4);  // embedding, two blocks, the rest
  double square = 0;
  for (double norm : last["gradient_norms"]) square += norm * norm;
  EXPECT_NEAR(std::sqrt(square), last["grad_norm"].get<double>(), 1e-5);
  EXPECT_LT(last["loss"].get<double>(), 4.5);
}

// Eight experts of which a token passes two: an even share is 1/8. Without the routers' loss the busiest expert of
// these short runs takes more.
TEST_F(TrainerTest, AMixtureLearnsAndItsRouterLossSpreadsTheTokens) {
  const auto largest_share = [&](const char* router_loss) {
    const TrainResult result =
        train(workspace_,
              small_config({"train.checkpoint_interval=1000", "model.experts=8", router_loss, "train.steps=120"}), {});
    EXPECT_LT(result.loss, 4.5);
    EXPECT_EQ(ModelConfig::load(workspace_.model("own") / "config.json").num_experts, 8);
    const std::string log = read_file(workspace_.run("own") / "log.jsonl");
    std::istringstream lines(log);
    double sum = 0;  // over the last 20 steps and both blocks
    for (std::string line; std::getline(lines, line);) {
      const nlohmann::json point = nlohmann::json::parse(line);
      EXPECT_EQ(point["largest_expert_shares"].size(), 2);
      if (point["step"] > 100)
        for (double share : point["largest_expert_shares"]) sum += share / 40;
    }
    return sum;
  };
  const double spread = largest_share("model.router_loss=0.1"), free = largest_share("model.router_loss=0");
  EXPECT_LT(spread, 0.25);  // 0.17 where this was written, and 0.43 without the routers' loss
  EXPECT_GT(free, spread + 0.05);
}

TEST_F(TrainerTest, AMixtureAsInGrok1Learns) {
  const TrainResult result = train(
      workspace_,
      small_config({"train.checkpoint_interval=1000", "model.experts=8", "model.mixture=grok-1", "train.steps=120"}),
      {});
  EXPECT_LT(result.loss, 4.5);
  const ModelConfig made = ModelConfig::load(workspace_.model("own") / "config.json");
  EXPECT_TRUE(made.is_grok1());
  EXPECT_EQ(made.attention_cap, 30);
  EXPECT_THROW(train(workspace_, small_config({"model.experts=8", "model.mixture=grok"}), {}), ConfigError);
}

TEST_F(TrainerTest, ATimeBudgetSettlesTheStepsAndWritesThemDown) {
  const TrainResult result = train(workspace_, small_config({"train.steps=0", "train.minutes=0.01"}), {});
  EXPECT_GE(result.total_steps, 11);
  EXPECT_EQ(result.steps, result.total_steps);
  EXPECT_NE(read_file(workspace_.run("own") / "schedule.json").find(std::to_string(result.total_steps)),
            std::string::npos);
}

// One rank whose first ten steps take 50 ms more, as beside other work.
class SlowAtFirst : public Communicator {
 public:
  int rank() const override { return self_->rank(); }
  int size() const override { return self_->size(); }
  void all_reduce_sum(Tensor values) override {  // once a step
    if (++steps_ <= 10) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    self_->all_reduce_sum(values);
  }
  std::vector<double> all_gather(double value) override { return self_->all_gather(value); }
  void broadcast(std::span<std::byte> bytes) override { self_->broadcast(bytes); }
  void barrier() override { self_->barrier(); }
  void fail() noexcept override { self_->fail(); }

 private:
  std::unique_ptr<Communicator> self_ = make_communicator("self");
  int steps_ = 0;
};

std::string weights_of(const Workspace& workspace, const std::string& name) {
  return sha256_file_hex(workspace.model(name) / "model.safetensors");
}

Config budget_config(std::initializer_list<const char*> more = {}) {
  Config config = small_config({"train.steps=0", "train.minutes=0.05", "train.warmup_steps=20",
                                "train.checkpoint_interval=1000", "train.log_interval=50"});
  for (const char* setting : more) config.set(setting);
  return config;
}

TEST_F(TrainerTest, ABudgetWithoutEndIsRefused) {
  for (const char* minutes : {"train.minutes=inf", "train.minutes=1e300", "train.minutes=nan"})
    EXPECT_THROW(train_options(small_config({minutes})), ConfigError) << minutes;
}

TEST_F(TrainerTest, ATimeBudgetIsPlannedAgainWhenTheMachineBecomesFree) {
  SlowAtFirst world;
  const TrainResult result = train(workspace_, budget_config(), {}, world);
  EXPECT_GT(result.total_steps, 54);  // what fits at 50 ms a step
  EXPECT_EQ(result.steps, result.total_steps);
  const std::string planned = weights_of(workspace_, "own");
  train(workspace_, budget_config({fmt::format("train.steps={}", result.total_steps).c_str()}), {.name = "stated"});
  EXPECT_EQ(weights_of(workspace_, "stated"), planned) << "no rate before a plan depends on it";
}

TEST_F(TrainerTest, ARunGoesOnByItsLastPlanFromAnyCheckpoint) {
  const Config config =
      budget_config({"train.minutes=0.01", "train.checkpoint_interval=9", "train.keep_checkpoints=100000"});
  const TrainResult whole = train(workspace_, config, {});
  const std::string weights = weights_of(workspace_, "own");
  for (const char* step : {"step-00000009", "step-00000018"}) {  // before and amid the plans
    const fs::path checkpoints = workspace_.run("own") / "checkpoints";
    if (!fs::exists(checkpoints / step)) continue;  // on a very slow machine
    fs::remove(workspace_.run("own") / "card.md");
    write_file_atomic(checkpoints / "latest", step);
    EXPECT_EQ(train(workspace_, config, {.resume = true}).total_steps, whole.total_steps) << step;
    EXPECT_EQ(weights_of(workspace_, "own"), weights) << step;
  }
}

TEST_F(TrainerTest, AStoppedFineTuningOfTheNameIsNotDeleted) {
  const fs::path state = workspace_.run("own") / "checkpoints" / "finetune" / "state.safetensors";
  fs::create_directories(state.parent_path());
  write_file_atomic(state, "what was learned");
  EXPECT_THROW(train(workspace_, small_config({"train.steps=3"}), {}), ConfigError);
  EXPECT_THROW(train(workspace_, small_config({"train.steps=3"}), {.name = "own", .resume = true}), ConfigError);
  EXPECT_TRUE(fs::exists(state));
}

TEST_F(TrainerTest, AnotherTokenizerAndAnUnfinishedRunAreRefused) {
  train(workspace_, small_config({"train.steps=3"}), {});
  fs::remove_all(workspace_.model("own"));  // as if it had been interrupted at the end
  write_file_atomic(workspace_.tokenizer(), read_file(workspace_.tokenizer()) + "\n");
  EXPECT_THROW(train(workspace_, small_config({"train.steps=6"}), {.name = "own", .resume = true}), DataError);
  EXPECT_THROW(train(workspace_, small_config({"train.steps=6"}), {}), ConfigError);  // unfinished, resume not asked
}

}  // namespace
}  // namespace starling

// Which models a request may name, and when they are loaded.
#include "server/models.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "core/error.h"
#include "server/lazy_engine.h"
#include "server/test_server.h"

namespace starling {
namespace {

class ModelsTest : public ServerTest {
 protected:
  // A workspace with models of these names, and a server of it.
  void start_with(const std::vector<std::string>& names, const std::vector<std::string>& settings) {
    const Workspace workspace = Workspace::create(root_ / "workspace", "");
    for (const std::string& name : names) make_model(workspace.model(name), context_);
    models_ = workspace.models();
    if (change_) change_(workspace.models());
    start(settings, false);
  }
  ClientResponse complete(const std::string& model) {
    return call("POST", "/v1/completions", {{"model", model}, {"prompt", "a post"}, {"max_tokens", 2}});
  }
  std::string text_of(const std::string& model) {
    const ClientResponse answer = call("POST", "/v1/completions",
                                       {{"model", model}, {"prompt", "a post"}, {"max_tokens", 8}, {"temperature", 0}});
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body)["choices"].dump();
  }
  bool is_loaded(const std::string& model) {
    return metric(call("GET", "/metrics").body, fmt::format("starling_model_loaded{{model=\"{}\"}} ", model)) == 1;
  }
  // Within the seconds that any test may take.
  bool soon(const std::function<bool()>& holds) {
    for (int i = 0; i < 2000; ++i, std::this_thread::sleep_for(std::chrono::milliseconds(10)))
      if (holds()) return true;
    return false;
  }
  double pages() { return metric(call("GET", "/metrics").body, "starling_kv_pages "); }
  json names() {
    const json list = ok("GET", "/v1/models")["data"];
    json found = json::array();
    for (const json& model : list) found.push_back(model["id"]);
    return found;
  }
  fs::path models_;
  std::function<void(const fs::path&)> change_;
};

TEST_F(ModelsTest, OthersAreReachedByNameAndLoadedWhenTheyAreFirstUsed) {
  start_with({"own", "second", "hidden"}, {"server.models=second"});
  EXPECT_EQ(names(), json({"own", "second"}));
  EXPECT_EQ(ok("GET", "/v1/info")["models"], names()) << "what the page lets choose";
  const double before = pages();
  EXPECT_EQ(ok("GET", "/v1/models/second")["id"], "second");
  EXPECT_EQ(pages(), before) << "neither naming nor counting loads it";
  const ClientResponse answer = complete("second");
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(json::parse(answer.body)["model"], "second");
  EXPECT_GT(pages(), before);
  EXPECT_EQ(complete("hidden").status, 404) << "a folder that the settings do not name";
  EXPECT_EQ(call("GET", "/v1/models/hidden").status, 404);
}

TEST_F(ModelsTest, EachSaysWhenItsFolderWasWritten) {
  start_with({"own", "second"}, {"server.models=second"});
  const std::chrono::sys_seconds written(std::chrono::seconds(1'700'000'000));
  fs::last_write_time(models_ / "second/config.json", std::chrono::file_clock::from_sys(written));
  EXPECT_EQ(ok("GET", "/v1/models/second")["created"], 1'700'000'000);
  EXPECT_EQ(ok("GET", "/v1/models")["data"][1]["created"], 1'700'000'000);
  fs::remove_all(models_ / "second");
  EXPECT_EQ(ok("GET", "/v1/models/second")["created"], 0) << "it may be gone while the server has it";
}

TEST_F(ModelsTest, OneThatCannotBeLoadedIs503AndTheOthersGoOn) {
  change_ = [](const fs::path& models) { write_file_atomic(models / "second/model.safetensors", "damaged"); };
  start_with({"own", "second"}, {"server.models=second"});
  const ClientResponse answer = complete("second");
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(error_code(answer), "model_unavailable");
  EXPECT_EQ(complete("own").status, 200);
  make_model(models_ / "second", context_);
  EXPECT_EQ(complete("second").status, 200) << "it is tried again";
}

TEST_F(ModelsTest, OneThatIsLargerThanTheMemoryIsRefusedUnread) {
  change_ = [](const fs::path& models) {
    fs::resize_file(models / "second/model.safetensors", uintmax_t{1} << 42);  // a hole of 4 TB
  };
  start_with({"own", "second"}, {"server.models=second"});
  const ClientResponse answer = complete("second");
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.body, testing::HasSubstr("of memory are left"));
}

TEST_F(ModelsTest, ANameThatIsNoModelIsAProblemAndAPathIsRefused) {
  start_with({"own"}, {"server.models=nothing, own"});
  EXPECT_THAT(ok("GET", "/v1/info")["problems"].dump(), testing::HasSubstr("`nothing`"));
  EXPECT_EQ(names(), json({"own"}));
  for (const char* wrong : {"../own", "a/b", "..", ".x"}) {
    Config config = make_config();
    config.set(std::string("server.models=") + wrong);
    EXPECT_THROW(server_options(config), ConfigError) << wrong;
  }
}

TEST_F(ModelsTest, OneThatNobodyUsesIsFreedAndLoadedAgain) {
  start_with({"own", "second"}, {"server.models=second", "server.model_idle_s=0.05"});
  const double before = pages();
  EXPECT_FALSE(is_loaded("second"));
  const std::string first = text_of("second");
  EXPECT_TRUE(soon([&] { return !is_loaded("second"); }));
  EXPECT_EQ(pages(), before);
  EXPECT_TRUE(is_loaded("own")) << "only what was loaded by a request";
  EXPECT_EQ(text_of("second"), first);
}

TEST_F(ModelsTest, WithoutATimeAModelStays) {
  start_with({"own", "second"}, {"server.models=second", "server.model_idle_s=0"});
  text_of("second");
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_TRUE(is_loaded("second"));
}

TEST_F(ModelsTest, RequestsAndTheFreeingOfTheirModelDoNotDisturbEachOther) {
  start_with({"own", "second"}, {"server.models=second", "server.writer=second", "server.model_idle_s=0.001"});
  const std::string expected = text_of("second");
  std::vector<std::thread> clients;
  for (int client = 0; client < 4; ++client)
    clients.emplace_back([&, client] {
      for (int i = 0; i < 20; ++i, std::this_thread::sleep_for(std::chrono::milliseconds(7 * client))) {
        EXPECT_EQ(text_of("second"), expected);
        EXPECT_GT(server_->platform().models.writer()->text_tokens("a post").size(), 0u) << "as ads and Ask use it";
      }
    });
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(soon([&] { return !is_loaded("second"); }));
}

TEST_F(ModelsTest, WhatIsHeldIsNotFreedAndTokensOutliveAnEngine) {
  make_model(root_ / "model", context_);
  LazyEngine lazy(root_ / "model", {});
  std::shared_ptr<Engine> held = lazy.load();
  EXPECT_FALSE(lazy.unload_if_idle(0)) << "a request is under way";
  held->generate({1, 2}, {.max_tokens = 2});
  const EngineStats stats = lazy.stats();
  const Tokenizer& tokenizer = lazy.tokenizer();
  held.reset();
  EXPECT_FALSE(lazy.unload_if_idle(1000)) << "it was used just now";
  EXPECT_TRUE(lazy.unload_if_idle(0));
  EXPECT_FALSE(lazy.is_loaded());
  EXPECT_EQ(lazy.stats().prompt_tokens, stats.prompt_tokens) << "counts do not fall";
  EXPECT_EQ(lazy.stats().pages, 0);
  EXPECT_GT(tokenizer.vocab_size(), 256);
  EXPECT_FALSE(lazy.is_loaded()) << "reading tokens needs no weights";
  fs::last_write_time(root_ / "model/tokenizer.json", fs::file_time_type::clock::now() + std::chrono::hours(1));
  EXPECT_THROW(lazy.load(), DataError) << "other tokens than those it gave out";
}

// The memory that a load has taken already must not refuse the request that waits for it.
TEST_F(ModelsTest, WhoWaitsForALoadIsNotAskedWhetherItFits) {
  make_model(root_ / "model", context_);
  LazyEngine lazy(root_ / "model", {});
  std::atomic<int> asked = 0;
  std::shared_ptr<Engine> second;
  std::thread waiting;
  const std::shared_ptr<Engine> first = lazy.load([&] {
    ++asked;
    waiting = std::thread([&] { second = lazy.load([&] { ++asked; }); });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // most likely it waits by then
  });
  waiting.join();
  EXPECT_EQ(first, second);
  EXPECT_EQ(asked, 1);
}

}  // namespace
}  // namespace starling

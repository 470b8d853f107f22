// What one API key may use: requests a second and tokens a day, its own or the server's.
#include <soci/soci.h>

#include <thread>

#include "server/test_server.h"
#include "server/token_quota.h"

namespace starling {
namespace {

constexpr int64_t kNoon = 20'000 * 86'400 + 43'200;  // UTC seconds

class QuotaTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    control_ = std::make_unique<ControlDb>(root_ / "control.db");
  }
  void TearDown() override {
    control_.reset();
    ServerTest::TearDown();
  }
  std::unique_ptr<ControlDb> control_;
};

TEST_F(QuotaTest, WhatARequestMayUseIsTakenBeforeAndWhatItDidNotUseComesBack) {
  TokenQuota quota(*control_, 100);
  const ApiKey key{.name = "a"};
  auto first = quota.reserve(key, 60, kNoon);
  EXPECT_THROW(quota.reserve(key, 60, kNoon), HttpError) << "both could use 120";
  auto second = quota.reserve(key, 40, kNoon);
  EXPECT_GT(quota.wait_s(key, kNoon), 0);
  first->spend(10);
  EXPECT_EQ(quota.wait_s(key, kNoon), 0);
  second.reset();  // it failed, and used nothing
  EXPECT_NO_THROW(quota.reserve(key, 90, kNoon)->spend(90));
  EXPECT_EQ(quota.wait_s(key, kNoon), 43'200) << "until midnight";
  EXPECT_NO_THROW(quota.reserve({.name = "b"}, 100, kNoon)) << "another key's tokens";
  EXPECT_NO_THROW(quota.reserve(key, 100, kNoon + 43'200)) << "the next day";
}

TEST_F(QuotaTest, ARequestThatOutlivesItsDayGivesNothingToTheNext) {
  TokenQuota quota(*control_, 100);
  const ApiKey key{.name = "a"};
  auto late = quota.reserve(key, 80, kNoon);
  auto early = quota.reserve(key, 100, kNoon + 43'200);
  late->spend(1);
  EXPECT_GT(quota.wait_s(key, kNoon + 43'200), 0);
}

TEST_F(QuotaTest, ARequestFromBeforeMidnightDoesNotBeginTheDayAgain) {
  constexpr int64_t kMidnight = kNoon + 43'200;
  TokenQuota quota(*control_, 100);
  const ApiKey key{.name = "a"};
  quota.reserve(key, 60, kMidnight)->spend(60);
  auto late = quota.reserve(key, 20, kMidnight - 1);  // it was read before, and comes to its tokens only now
  EXPECT_THROW(quota.reserve(key, 30, kMidnight), HttpError) << "80 of the new day's are taken";
  late->spend(5);
  EXPECT_NO_THROW(quota.reserve(key, 35, kMidnight));
}

TEST_F(QuotaTest, WhatWasTakenWhenTheProcessEndedStaysTaken) {
  const ApiKey key{.name = "a"};
  TokenQuota killed(*control_, 100);
  const auto running = killed.reserve(key, 70, kNoon);
  TokenQuota restarted(*control_, 100);
  EXPECT_THROW(restarted.reserve(key, 40, kNoon), HttpError);
  EXPECT_NO_THROW(restarted.reserve(key, 30, kNoon));
}

TEST_F(QuotaTest, ADatabaseThatCannotBeReadForgivesNothing) {
  const ApiKey key{.name = "a"};
  TokenQuota(*control_, 100).reserve(key, 70, kNoon)->spend(70);
  TokenQuota restarted(*control_, 100);
  const auto rename = [&](const char* from, const char* to) {
    control_->transaction([&](soci::session& sql) { sql << fmt::format("alter table {} rename to {}", from, to); });
  };
  rename("token_usage", "away");
  EXPECT_THROW(restarted.reserve(key, 40, kNoon), Error);
  rename("away", "token_usage");
  EXPECT_THROW(restarted.reserve(key, 40, kNoon), HttpError) << "70 of 100 are used";
}

TEST_F(QuotaTest, AKeysOwnLimitIsBeforeTheServers) {
  TokenQuota quota(*control_, 100);
  EXPECT_THROW(quota.reserve({.name = "small", .limits = {.tokens_per_day = 10}}, 11, kNoon), HttpError);
  EXPECT_NO_THROW(quota.reserve({.name = "large", .limits = {.tokens_per_day = 1000}}, 1000, kNoon));
  EXPECT_NO_THROW(quota.reserve({.name = "any", .limits = {.tokens_per_day = 0}}, int64_t{1} << 60, kNoon));
}

class KeyLimitsTest : public ServerTest {
 protected:
  ClientResponse complete(const std::string& key, int max_tokens) {
    const json body = {{"model", "own"}, {"prompt", "a post"}, {"max_tokens", max_tokens}, {"ignore_eos", true}};
    return fetch(server_->port(), "POST", "/v1/completions", key, body.dump());
  }
};

TEST_F(KeyLimitsTest, ParallelRequestsCannotPassTheTokensOfTheirKeyTogether) {
  start();
  constexpr int kTokens = 100, kEach = 20;
  const std::string key = server_->platform().control.create_key("trial", "search", {.tokens_per_day = kTokens});
  std::atomic<int> used = 0, refused = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 12; ++i)
    clients.emplace_back([&] {
      const ClientResponse response = complete(key, kEach);
      const bool made = response.status == 200;
      if (made) used += json::parse(response.body)["usage"]["total_tokens"].get<int>();
      refused += made ? 0 : 1;
      EXPECT_TRUE(made || error_code(response) == "insufficient_quota") << response.body;
    });
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(used > 0 && used <= kTokens) << used;
  EXPECT_GT(refused, 0);
  EXPECT_EQ(complete(keys_.at("search"), kEach).status, 200) << "a key without a limit of its own";
}

TEST_F(KeyLimitsTest, ARequestThatIsRefusedTakesNothing) {
  start();
  const std::string key = server_->platform().control.create_key("trial", "search", {.tokens_per_day = 60});
  const ClientResponse refused = complete(key, 100);
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(json::parse(refused.body)["error"]["type"], "insufficient_quota");
  EXPECT_TRUE(refused.headers.contains("retry-after"));
  EXPECT_EQ(fetch(server_->port(), "POST", "/v1/completions", key, R"({"model":"own","prompt":"a","stop":7})").status,
            400);
  EXPECT_EQ(complete(key, 40).status, 200);
}

TEST_F(KeyLimitsTest, WhatAFailedAnswerTookToReadCounts) {
  start({"server.tokens_per_day=40"});
  const std::string z =
      std::to_string(ok("POST", "/tokenize", {{"model", "own"}, {"text", "z"}})["tokens"][0].get<int>());
  const json body = {{"model", "own"},
                     {"prompt", "a post"},
                     {"max_tokens", 20},
                     {"grammar", "root ::= \"q\" \"z\""},
                     {"logit_bias", {{z, -100}}}};
  int failed = 0;
  while (failed < 40 && call("POST", "/v1/completions", body).status == 400) ++failed;
  EXPECT_GT(failed, 0);
  EXPECT_LT(failed, 40) << "each reads a token at least";
}

TEST_F(KeyLimitsTest, WithoutMaxTokensAnAnswerIsCutToWhatIsLeft) {
  start();
  const auto ask = [&](const std::string& key, json body) {
    body.update({{"model", "own"}, {"messages", {{{"role", "user"}, {"content", "hi"}}}}, {"ignore_eos", true}});
    return fetch(server_->port(), "POST", "/v1/chat/completions", key, body.dump());
  };
  const int prompt = json::parse(ask(keys_.at("search"), {{"max_tokens", 1}}).body)["usage"]["prompt_tokens"];
  const std::string key = server_->platform().control.create_key("trial", "search", {.tokens_per_day = prompt + 9});
  EXPECT_EQ(error_code(ask(key, {{"max_tokens", 100}})), "insufficient_quota") << "said, so refused";
  EXPECT_EQ(error_code(ask(key, {{"max_completion_tokens", 100}})), "insufficient_quota");
  EXPECT_EQ(error_code(ask(key, {{"n", 16}})), "insufficient_quota") << "not a token for each of them";
  const ClientResponse answer = ask(key, {{"n", 2}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const json made = json::parse(answer.body);
  EXPECT_EQ(made["usage"]["total_tokens"], prompt + 8) << "all that two answers of one length can have";
  for (const json& choice : made["choices"]) EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(ask(key, json::object()).status, 429) << "now too little is left";
}

TEST_F(KeyLimitsTest, EmbeddingsAndScoresCountToo) {
  start();
  const std::string key = server_->platform().control.create_key("trial", "search", {.tokens_per_day = 30});
  const auto ask = [&](const char* path, const json& body) {
    return fetch(server_->port(), "POST", path, key, body.dump()).status;
  };
  const json many = json(std::vector<int>(29, 20)), few = json(std::vector<int>(9, 20));  // and a begin token
  EXPECT_EQ(ask("/v1/embeddings", {{"input", few}}), 200);
  EXPECT_EQ(ask("/v1/embeddings", {{"input", many}}), 429);
  EXPECT_EQ(ask("/v1/score", {{"model", "own"}, {"prefix", ""}, {"candidates", {std::string(40, 'q')}}}), 429);
  EXPECT_EQ(ask("/v1/score", {{"model", "own"}, {"prefix", ""}, {"candidates", {"qqq"}}}), 200);
}

TEST_F(KeyLimitsTest, AChangedLimitHoldsFromTheNextRequestOn) {
  start();
  ControlDb other(root_ / "workspace/control.db");  // as `starling keys set` opens it beside the server
  const std::string key = other.create_key("trial", "search", {.tokens_per_day = 30});
  EXPECT_EQ(error_code(complete(key, 40)), "insufficient_quota");
  other.set_key_limits("trial", {.requests_per_second = {}, .tokens_per_day = 1000});
  EXPECT_EQ(complete(key, 40).status, 200);
  other.set_key_limits("trial", {.requests_per_second = {}, .tokens_per_day = 40});
  EXPECT_EQ(error_code(complete(key, 1)), "insufficient_quota") << "what was used today counts";
  other.set_key_limits("trial", {.requests_per_second = 0.001, .tokens_per_day = 0});
  ClientResponse last = complete(key, 1);
  for (int i = 0; last.status == 200 && i < 10; ++i) last = complete(key, 1);
  EXPECT_EQ(error_code(last), "rate_limit_exceeded");
  other.set_key_limits("trial", {.requests_per_second = 1e6, .tokens_per_day = {}});
  EXPECT_EQ(complete(key, 1).status, 200);
}

TEST_F(KeyLimitsTest, AKeysOwnRateIsBeforeTheServers) {
  start({"server.request_burst=100", "server.requests_per_second=50"});
  const std::string slow = server_->platform().control.create_key("slow", "read", {.requests_per_second = 0.01});
  EXPECT_EQ(fetch(server_->port(), "GET", "/v1/models", slow).status, 200);
  const ClientResponse second = fetch(server_->port(), "GET", "/v1/models", slow);
  EXPECT_EQ(second.status, 429);
  EXPECT_EQ(error_code(second), "rate_limit_exceeded");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(call("GET", "/v1/models", {}, "read").status, 200);
}

}  // namespace
}  // namespace starling

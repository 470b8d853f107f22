// A client that leaves while its prompt is read, its text scored or its inputs embedded: the engine does not go on.
#include <thread>

#include "server/test_server.h"

namespace starling {
namespace {

class CancellationTest : public ServerTest {
 protected:
  CancellationTest() { context_ = 4096; }

  // Token lists that begin differently, so that none is found in the prefix cache.
  static json prompts(int count, int length) {
    json lists = json::array();
    for (int i = 0; i < count; ++i) {
      json& list = lists.emplace_back(json::array({10 + i / 64, 10 + i % 64}));
      for (int j = 2; j < length; ++j) list.push_back(10 + (i + j * j) % 64);
    }
    return lists;
  }
  static json candidates(int count) {
    json texts = json::array();
    for (int i = 0; i < count; ++i) texts.push_back(fmt::format("{} {}", i, std::string(200, char('a' + i % 26))));
    return texts;
  }

  EngineStats stats() { return server_->platform().models.own()->stats(); }
  double cancelled() {
    return metric(call("GET", "/metrics").body, "starling_generations_cancelled_total{model=\"own\"} ");
  }
  template <typename Condition>
  static bool eventually(const Condition& condition) {
    for (int i = 0; i < 30'000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return condition();
  }

  // Sends `body`, leaves when the engine has begun it, and returns how many tokens were read in all.
  uint64_t read_before_leaving(const std::string& path, const json& body) {
    const uint64_t before = stats().prompt_tokens;
    {
      TestClient client(server_->port());
      const std::string text = body.dump();
      client.send(fmt::format("POST {} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{}",
                              path, keys_.at("admin"), text.size(), text));
      EXPECT_TRUE(eventually([&] { return stats().prompt_tokens > before; })) << path;
    }
    EXPECT_TRUE(eventually([&] { return stats().jobs == 0; })) << path;
    return stats().prompt_tokens - before;
  }
};

TEST_F(CancellationTest, AClientThatLeavesEndsItsPromptItsScoresAndItsEmbeddings) {
  start();
  struct Case {
    const char* path;
    json body;
    uint64_t all;
  };
  constexpr uint64_t kAll = 60 * 4000;
  const std::vector<Case> cases = {
      {"/v1/completions", {{"model", "own"}, {"prompt", prompts(60, 4000)}, {"max_tokens", 4}}, kAll},
      {"/v1/completions", {{"model", "own"}, {"prompt", prompts(60, 4000)}, {"max_tokens", 4}, {"stream", true}}, kAll},
      {"/v1/completions",
       {{"model", "own"}, {"prompt", prompts(60, 4000)}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 0}},
       kAll},
      {"/v1/embeddings", {{"model", "own"}, {"input", prompts(60, 4000)}}, kAll},
      {"/v1/score", {{"model", "own"}, {"prefix", ""}, {"candidates", candidates(4000)}}, 4000 * 100},
  };
  double counted = -1;  // none
  for (const Case& c : cases) {
    const uint64_t read = read_before_leaving(c.path, c.body);
    EXPECT_LT(read, c.all / 2) << c.path << ": what it would be without its client is " << c.all << " and more";
    EXPECT_EQ(stats().decoded_tokens, 0u) << c.path;
    EXPECT_EQ(stats().pages_used, stats().pages_cached) << c.path << ": a page is held by nobody";
    EXPECT_TRUE(eventually([&] { return cancelled() > counted; })) << c.path;
    counted = cancelled();
  }
  EXPECT_EQ(call("POST", "/v1/completions", {{"model", "own"}, {"prompt", "a"}, {"max_tokens", 1}}).status, 200);
}

}  // namespace
}  // namespace starling

// The server is killed with SIGKILL while clients create and delete posts, decide ads and report events. Whatever it
// has acknowledged must be there after a restart, and no budget may ever be overspent.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <soci/soci.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <set>
#include <thread>

#include "ads/ads_store.h"
#include "core/time.h"
#include "core/workspace.h"
#include "posts/post_store.h"
#include "search/post_index.h"
#include "server/test_client.h"
#include "server/test_server.h"
#include "store/audit_log.h"
#include "store/control_db.h"

namespace starling {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kKills = 5, kClients = 6;
constexpr int64_t kBudgetMicros = 60'000,
                  kBidMicros = 2'500;  // exhausted within the test: the last micros are contested

// `starling serve` as a child process.
class ServerProcess {
 public:
  explicit ServerProcess(const fs::path& workspace) {
    int out[2];
    EXPECT_EQ(::pipe(out), 0);
    process_ = ::fork();
    if (process_ == 0) {
      ::dup2(out[1], STDOUT_FILENO);
      ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);
      ::close(out[0]);
      ::execl(STARLING_PROGRAM, "starling", "--quiet", "--json", "--workspace", workspace.c_str(), "--set",
              "server.request_burst=1000000", "--set", "server.drain_s=120", "--set", "server.write_s=120", "serve",
              "--port", "0", nullptr);
      ::_exit(127);
    }
    ::close(out[1]);
    read_port(out[0]);
    ::close(out[0]);
  }
  ~ServerProcess() { end(SIGKILL); }

  int port() const { return port_; }
  pid_t process() const { return process_; }
  void signal(int number) const { ::kill(process_, number); }
  // The process's exit code, or minus the signal that ended it.
  int end(int signal) {
    if (process_ <= 0) return 0;
    ::kill(process_, signal);
    int status = 0;
    ::waitpid(process_, &status, 0);
    process_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  void read_port(int out) {
    std::string line;
    char c = 0;
    while (::read(out, &c, 1) == 1 && c != '\n') line += c;
    const json welcome = json::parse(line, nullptr, false);
    if (!welcome.is_object()) return;
    const std::string url = welcome["url"];
    port_ = std::stoi(url.substr(url.rfind(':') + 1));
  }
  pid_t process_ = 0;
  int port_ = 0;
};

// What the clients were told, by all of them together.
struct Acknowledged {
  std::mutex mutex;
  std::set<std::string> posts, deleted, deleting;        // `deleting`: asked for, perhaps done
  std::map<std::string, std::string> decisions;          // request id -> the whole answer
  std::vector<std::string> tokens;                       // of ads that were served
  std::set<std::pair<std::string, std::string>> events;  // token, type
};

class Client {
 public:
  Client(int port, const std::string& key, int seed, Acknowledged& told)
      : http_(port), key_(key), random_(seed), told_(told) {}

  // Until the server is killed: some response does not come.
  void run() {
    while (http_.connected() && step()) {
    }
  }

 private:
  bool step() {
    switch (random_() % 5) {
      case 0:
        return remove_post();
      case 1:
      case 2:
        return decide();
      case 3:
        return report_event();
      default:
        return create_post();
    }
  }
  ClientResponse post(const std::string& path, const json& body) {
    return http_.request("POST", path, key_, body.dump());
  }

  bool create_post() {
    const std::string id = fmt::format("post-{:08x}", random_());
    const ClientResponse response = post("/v1/posts", {{"id", id}, {"author", "ada"}, {"text", "coffee number " + id}});
    if (response.status == 201) keep([&] { told_.posts.insert(id); });
    return response.status != 0;
  }
  bool remove_post() {
    std::string id;
    keep([&] {
      if (told_.posts.empty()) return;
      id = *told_.posts.begin();
      told_.posts.erase(id);
      told_.deleting.insert(id);
    });
    if (id.empty()) return true;
    const ClientResponse response = http_.request("DELETE", "/v1/posts/" + id, key_);
    if (response.status == 200) keep([&] { told_.deleted.insert(id); });
    return response.status != 0;
  }
  bool decide() {
    const std::string request_id = fmt::format("request-{:08x}", random_());
    const json body = {{"request_id", request_id}, {"viewer", request_id}, {"context", "fresh coffee"}};
    const ClientResponse response = post("/v1/ads/decide", body);
    if (response.status != 200) return response.status != 0;
    keep([&] {
      told_.decisions[request_id] = response.body;
      const json answer = json::parse(response.body);
      if (!answer["ad"].is_null()) told_.tokens.push_back(answer["ad"]["token"]);
    });
    return true;
  }
  bool report_event() {
    std::string token;
    keep([&] {
      if (!told_.tokens.empty()) token = told_.tokens[random_() % told_.tokens.size()];
    });
    if (token.empty()) return true;
    const std::string type = random_() % 2 ? "impression" : "click";
    const ClientResponse response = post("/v1/ads/events", {{"token", token}, {"type", type}});
    if (response.status == 200) keep([&] { told_.events.emplace(token, type); });
    return response.status != 0;
  }
  template <typename Work>
  void keep(const Work& work) {
    std::lock_guard lock(told_.mutex);
    work();
  }

  TestClient http_;
  const std::string key_;
  std::mt19937 random_;
  Acknowledged& told_;
};

class ServerKillTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / fmt::format("starling-kill-{}", ::getpid());
    fs::remove_all(folder_);
    workspace_ = Workspace::create(folder_, "");
    ControlDb control(workspace_.control_db());
    key_ = control.create_key("test", "admin");
    control.transaction([](soci::session& sql) {
      create_ads_tables(sql);
      insert_campaign(sql, coffee_campaign("c1"));
      insert_campaign(sql, coffee_campaign("c2"));
    });
  }
  void TearDown() override { fs::remove_all(folder_); }

  static Campaign coffee_campaign(const std::string& id) {
    Campaign campaign{.id = id, .created_s = now_s()};
    campaign.brief.advertiser = campaign.brief.payer = "Roastery " + id;
    campaign.brief.product = "coffee";
    campaign.brief.landing_page = "https://roastery.example/";
    campaign.brief.budget_micros = kBudgetMicros;
    campaign.brief.max_bid_micros = kBidMicros;
    campaign.brief.currency = "USD";
    campaign.brief.facts = {{.id = "roast", .name = "roast", .value = "fresh"}};
    campaign.brief.find_audiences = true;
    campaign.audiences = {{.id = "a", .name = "coffee", .query = "coffee", .authors = 60, .posts = 90}};
    campaign.variants = {{.id = id + "-v1",
                          .audience_id = "a",
                          .headline = "Fresh coffee",
                          .body = "Taste it.",
                          .label = "AI-generated ad",
                          .graphemes = 21,
                          .state = VariantState::accepted}};
    return campaign;
  }

  void approve(int port) {
    for (const char* id : {"c1", "c2"}) {
      const ClientResponse response =
          fetch(port, "POST", fmt::format("/v1/ads/campaigns/{}/approve", id), key_, R"({"approver":"test"})");
      ASSERT_EQ(response.status, 200) << response.body;
    }
  }

  void disturb(int port, int round) {
    std::vector<std::thread> threads;
    for (int i = 0; i < kClients; ++i)
      threads.emplace_back([this, port, seed = 100 * round + i] { Client(port, key_, seed, told_).run(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(300 + 250 * (round % 3)));
    server_->end(SIGKILL);
    for (std::thread& thread : threads) thread.join();
  }

  void expect_money_adds_up() {
    ControlDb(workspace_.control_db()).transaction([](soci::session& sql) {
      for (const std::string id : {"c1", "c2"}) {
        long long spent = 0, reserved = 0, settled = 0, held = 0, charged = 0;
        sql << "select spent_micros, reserved_micros from ads_campaigns where id = :id", soci::into(spent),
            soci::into(reserved), soci::use(id);
        sql << "select coalesce(sum(amount_micros), 0) from ads_ledger where kind = 'settle' and campaign_id = :id",
            soci::into(settled), soci::use(id);
        sql << "select coalesce(sum(case kind when 'reserve' then amount_micros else -amount_micros end), 0) from "
               "ads_ledger "
               "where campaign_id = :id",
            soci::into(held), soci::use(id);
        sql << "select coalesce(sum(price_micros), 0) from ads_decisions where state = 'settled' and campaign_id = :id",
            soci::into(charged), soci::use(id);
        EXPECT_LE(spent + reserved, kBudgetMicros);
        EXPECT_EQ(spent, settled);
        EXPECT_EQ(spent, charged);
        EXPECT_EQ(reserved, held);
      }
    });
  }

  void expect_everything_told_is_there() {
    const ControlDb control(workspace_.control_db());
    {
      const PostStore posts(workspace_.posts());
      for (const std::string& id : told_.posts) EXPECT_TRUE(posts.contains(id)) << id;
    }
    for (const std::string& id : told_.deleted) EXPECT_TRUE(control.is_deleted(id, "")) << id;
    TestClient http(server_->port());
    const auto found = [&](const std::string& id) {
      const ClientResponse response =
          http.request("POST", "/v1/search", key_, json{{"query", "\"" + id + "\""}}.dump());
      EXPECT_EQ(response.status, 200) << response.body;
      const json result = json::parse(response.body);  // named: the loop needs it alive
      for (const json& hit : result["hits"])
        if (hit["post"]["id"] == id) return true;
      return false;
    };
    for (const std::string& id : told_.posts) EXPECT_TRUE(found(id)) << id;
    for (const std::string& id : told_.deleted) EXPECT_FALSE(found(id)) << id;
    for (const auto& [request_id, answer] : told_.decisions) {
      const json body = {{"request_id", request_id}, {"viewer", request_id}, {"context", "fresh coffee"}};
      EXPECT_EQ(json::parse(http.request("POST", "/v1/ads/decide", key_, body.dump()).body), json::parse(answer));
    }
    for (const auto& [token, type] : told_.events) {
      const json body = {{"token", token}, {"type", type}};
      EXPECT_EQ(http.request("POST", "/v1/ads/events", key_, body.dump()).body, R"({"recorded":false})");
    }
  }

  fs::path folder_;
  Workspace workspace_;
  std::string key_;
  std::unique_ptr<ServerProcess> server_;
  Acknowledged told_;
};

TEST_F(ServerKillTest, NothingAcknowledgedIsLostAndNoBudgetIsOverspent) {
  for (int round = 0; round < kKills; ++round) {
    server_ = std::make_unique<ServerProcess>(workspace_.root);
    ASSERT_GT(server_->port(), 0) << "the server did not start";
    if (round == 0) {
      ASSERT_NO_FATAL_FAILURE(approve(server_->port()));
    }
    disturb(server_->port(), round);
    expect_money_adds_up();
  }
  server_ = std::make_unique<ServerProcess>(workspace_.root);
  ASSERT_GT(server_->port(), 0);
  expect_everything_told_is_there();
  expect_money_adds_up();
  ControlDb control(workspace_.control_db());
  EXPECT_FALSE(AuditLog(control).verify());
  EXPECT_FALSE(told_.posts.empty() || told_.deleted.empty() || told_.tokens.empty() || told_.events.empty())
      << "the clients did too little for the test to mean something";
  EXPECT_EQ(server_->end(SIGTERM), 0);
}

// `starling delete` beside a server that holds the posts and the index.
TEST_F(ServerKillTest, ADeletionOnTheCommandLineReachesARunningServersFiles) {
  server_ = std::make_unique<ServerProcess>(workspace_.root);
  ASSERT_GT(server_->port(), 0) << "the server did not start";
  TestClient http(server_->port());
  const json post = {{"id", "gone"}, {"author", "ada"}, {"text", "an unmistakable platypus"}};
  ASSERT_EQ(http.request("POST", "/v1/posts", key_, post.dump()).status, 201);
  const std::string command =
      fmt::format("{} --quiet --workspace {} delete --post gone", STARLING_PROGRAM, workspace_.root.string());
  ASSERT_EQ(std::system(command.c_str()), 0);
  const auto holds = [&] { return read_file(workspace_.posts() / "live.jsonl").find("platypus") != std::string::npos; };
  for (int i = 0; i < 600 && holds(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(holds());
  EXPECT_EQ(PostIndexReader(workspace_.index()).find_id("gone"), std::nullopt);
}

// A stream of megabytes that waits, for its client does not read.
void ask_for_megabytes(TestClient& client, const std::string& key) {
  const std::string body = json{{"model", "own"}, {"prompt", "a post"}, {"max_tokens", 900}, {"n", 16},
                                {"logprobs", 5},  {"stream", true},     {"ignore_eos", true}}
                               .dump();
  client.send(fmt::format("POST /v1/completions HTTP/1.1\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{}",
                          key, body.size(), body));
  ASSERT_TRUE(client.receive_until("data: "));
}

void wait_until_it_takes_no_more(int port) {
  while (TestClient(port).connected()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

class ShutdownTest : public ServerKillTest {
 protected:
  // A server that has had SIGTERM, and a stream that is not yet read.
  void SetUp() override {
    ServerKillTest::SetUp();
    make_model(workspace_.model("own"), 1024);
    server_ = std::make_unique<ServerProcess>(workspace_.root);
    ASSERT_GT(server_->port(), 0);
    reader_.emplace(server_->port());
    ASSERT_NO_FATAL_FAILURE(ask_for_megabytes(*reader_, key_));
    server_->signal(SIGTERM);
    wait_until_it_takes_no_more(server_->port());
  }

  std::optional<TestClient> reader_;
};

TEST_F(ShutdownTest, SigtermLetsAStreamUnderWayFinish) {
  EXPECT_TRUE(reader_->receive_until("data: [DONE]\n\n"));
  EXPECT_EQ(server_->end(0), 0);  // no further signal
}

TEST_F(ShutdownTest, ASecondSigtermEndsItAtOnce) { EXPECT_EQ(server_->end(SIGTERM), 130); }

TEST_F(ServerKillTest, APortInUseEndsWithOneClearError) {
  server_ = std::make_unique<ServerProcess>(workspace_.root);
  ASSERT_GT(server_->port(), 0);
  const std::string command = fmt::format("{} --quiet --workspace {} serve --port {} 2>&1", STARLING_PROGRAM,
                                          folder_.string(), server_->port());
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string output;
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) output += static_cast<char>(c);
  EXPECT_EQ(WEXITSTATUS(::pclose(pipe)), 1);
  EXPECT_NE(output.find("the port is in use"), std::string::npos) << output;
}

TEST_F(ServerKillTest, AFirstStartMakesOneAdminKeyAndShowsItOnce) {
  ControlDb control(workspace_.control_db());
  control.revoke_key("test");
  server_ = std::make_unique<ServerProcess>(workspace_.root);
  ASSERT_EQ(control.keys().size(), 1u);
  EXPECT_EQ(control.keys()[0].role, "admin");
  server_.reset();
  server_ = std::make_unique<ServerProcess>(workspace_.root);
  EXPECT_EQ(control.keys().size(), 1u);
}

// The heaps that glibc made for threads: each has 64 MiB of addresses from a multiple of that on, which it may use up
// to where they are closed to every access.
int heaps_of_threads(pid_t process) {
  constexpr uint64_t kHeapBytes = 64 << 20;
  std::ifstream maps(fmt::format("/proc/{}/maps", process));
  int heaps = 0;
  uint64_t open_begin = 1, open_end = 0;
  for (std::string line; std::getline(maps, line);) {
    size_t used = 0;
    const uint64_t begin = std::stoull(line, &used, 16), end = std::stoull(line.substr(used + 1), nullptr, 16);
    const bool closed = line.find(" ---p ") != std::string::npos;
    if (closed && begin == open_end && open_begin % kHeapBytes == 0 && end == open_begin + kHeapBytes) ++heaps;
    open_begin = begin, open_end = end;
  }
  return heaps;
}

TEST_F(ServerKillTest, AllThreadsShareTheFirstHeapAndOneMore) {
  server_ = std::make_unique<ServerProcess>(workspace_.root);
  ASSERT_GT(server_->port(), 0);
  ASSERT_EQ(fetch(server_->port(), "GET", "/v1/info", key_).status, 200);
  EXPECT_LE(heaps_of_threads(server_->process()), 1);
}

}  // namespace
}  // namespace starling

// The routes over real HTTP, on a workspace made for the test.
#include "server/server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "server/deletion.h"
#include "server/router.h"
#include "server/test_server.h"
#include "store/control_db.h"

namespace starling {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string example_path(std::string_view pattern) {
  std::string path(pattern);
  if (const size_t brace = path.find('{'); brace != std::string::npos)
    path.replace(brace, path.find('}') - brace + 1, "nothing");
  return path;
}

TEST_F(ServerTest, EveryRouteTakesTheRolesOfItsTableAndNoOthers) {
  start();
  for (const Route& route : all_routes()) {
    const std::string method(route.method), path = example_path(route.pattern);
    if (route.roles == kPublic) {
      const int status = call(method, path, {}, "").status;
      EXPECT_TRUE(status == 200 || status == 503) << path;
      continue;
    }
    EXPECT_EQ(call(method, path, {}, "").status, 401) << path;
    EXPECT_EQ(fetch(server_->port(), method, path, "sk-starling-wrong").status, 401) << path;
    for (const auto& [role, bit] : kRoleNames) {
      const int status = call(method, path, {}, std::string(role)).status;
      if (route.roles & bit)
        EXPECT_TRUE(status != 401 && status != 403 && status != 500) << role << " " << path << " " << status;
      else EXPECT_EQ(status, 403) << role << " " << path;
    }
  }
}

TEST(Roles, AnUnknownRoleMayUseNothing) {
  EXPECT_EQ(role_of("advertiser"), 0u);
  EXPECT_EQ(role_of(""), 0u);
  for (const Route& route : all_routes())
    EXPECT_TRUE(route.roles == kPublic || (route.roles & kRoleAdmin)) << route.pattern;
}

TEST_F(ServerTest, APathThatIsNotInTheTableIs401WithoutAKeyAnd404WithOne) {
  start();
  for (const char* path : {"/v1", "/v1/", "/v1/nothing", "/v1/search/", "/metrics/x", "/v1/../v1/info"}) {
    EXPECT_EQ(call("GET", path, {}, "").status, 401) << path;
    EXPECT_EQ(call("GET", path, {}, "read").status, 404) << path;
  }
  EXPECT_EQ(call("POST", "/", {}, "").status, 401);
  const ClientResponse wrong_method = call("GET", "/v1/search");
  EXPECT_EQ(wrong_method.status, 405);
  EXPECT_EQ(wrong_method.headers.at("allow"), "POST");
}

TEST_F(ServerTest, ARevokedKeyIsWorthlessFromTheNextRequestOn) {
  start();
  EXPECT_EQ(call("GET", "/v1/info", {}, "read").status, 200);
  server_->platform().control.revoke_key("read");
  EXPECT_EQ(call("GET", "/v1/info", {}, "read").status, 401);
}

TEST_F(ServerTest, EveryAnswerHasAnIdOfItsOwn) {
  start();
  std::set<std::string> ids;
  for (const char* path : {"/healthz", "/v1/models", "/v1/nowhere", "/%"}) {
    const std::string id = call("GET", path).headers["x-request-id"];
    EXPECT_TRUE(id.starts_with("req_")) << path << id;
    ids.insert(id);
  }
  EXPECT_EQ(ids.size(), 4u);
}

TEST_F(ServerTest, AKeyThatIsTooFastIs429WithRetryAfterAndOthersGoOn) {
  start({"server.request_burst=2", "server.requests_per_second=0.01"});
  EXPECT_EQ(call("GET", "/v1/models", {}, "read").status, 200);
  EXPECT_EQ(call("GET", "/v1/models", {}, "read").status, 200);
  const ClientResponse third = call("GET", "/v1/models", {}, "read");
  EXPECT_EQ(third.status, 429);
  EXPECT_THAT(std::stoi(third.headers.at("retry-after")), testing::AllOf(testing::Gt(1), testing::Le(100)));
  EXPECT_EQ(json::parse(third.body)["error"]["type"], "rate_limit_error");
  EXPECT_EQ(error_code(third), "rate_limit_exceeded");
  EXPECT_EQ(call("GET", "/v1/models", {}, "ads").status, 200);
}

TEST_F(ServerTest, ThePageIsServedWithItsPolicyAndItsViewsGetTheIndex) {
  start();
  for (const char* path : {"/", "/search", "/training/run1", "/index.html"}) {
    const ClientResponse response = call("GET", path, {}, "");
    EXPECT_EQ(response.body, "<!doctype html>the page") << path;
    EXPECT_THAT(response.headers.at("content-security-policy"), HasSubstr("script-src 'self'"));
  }
  const ClientResponse script = call("GET", "/assets/app-1.js", {}, "");
  EXPECT_EQ(script.headers.at("content-type"), "text/javascript; charset=utf-8");
  EXPECT_THAT(script.headers.at("cache-control"), HasSubstr("immutable"));
  TestClient client(server_->port());
  EXPECT_EQ(client.request("GET", "/", "", "", "If-None-Match: " + call("GET", "/").headers.at("etag") + "\r\n").status,
            304);
}

TEST_F(ServerTest, AFileNameLongerThanTheSystemTakesIsJustNotThere) {
  start();
  const std::string name(300, 'a');
  EXPECT_EQ(call("GET", "/" + name + ".js", {}, "").status, 404);
  EXPECT_EQ(call("GET", "/" + name, {}, "").body, "<!doctype html>the page") << "a view, as any other";
}

TEST_F(ServerTest, NoPathLeavesThePagesFolder) {
  start();
  for (const char* path : {"/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/assets/../../secret.txt",
                           "/assets/..%5csecret.txt", "//secret.txt", "/%2f/secret.txt", "/.hidden", "/link.txt",
                           "/nothing.js", "/assets/nothing.js", "/assets%2fapp-1.js"}) {
    const ClientResponse response = call("GET", path, {}, "");
    EXPECT_EQ(response.status, 404) << path;
    EXPECT_EQ(response.body.find("secret\n"), std::string::npos) << path;
  }
}

TEST_F(ServerTest, ABodyThatIsNotJsonOrTooDeepOrNotUtf8Is400InOpenAisShape) {
  start();
  const std::string deep = R"({"query":)" + std::string(1000, '[') + std::string(1000, ']') + "}";
  for (const std::string& body : {std::string("{"), std::string("[]"), std::string("{\"query\":\"\xff\"}"), deep}) {
    for (const char* path : {"/v1/search", "/v1/posts", "/v1/chat/completions", "/v1/ads/decide", "/v1/plan"}) {
      const ClientResponse response = fetch(server_->port(), "POST", path, keys_["admin"], body);
      EXPECT_EQ(response.status, 400) << path << " " << body.substr(0, 20);
      EXPECT_EQ(json::parse(response.body)["error"]["type"], "invalid_request_error");
    }
  }
}

TEST_F(ServerTest, ANewPostIsFoundAtOnceAndADeletedOneIsGone) {
  start();
  const json post = {{"id", "p/1 é"},
                     {"author", "ada"},
                     {"text", "the quick laptop <b>runs</b> linux"},
                     {"time", "2024-01-02T03:04:05Z"}};
  EXPECT_EQ(call("POST", "/v1/posts", post).status, 201);
  const ClientResponse again = call("POST", "/v1/posts", post);
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(json::parse(again.body)["created"], false);
  const json query = {{"query", "laptop"}, {"facets", true}};
  const json found = ok("POST", "/v1/search", query);
  ASSERT_EQ(found["hits"].size(), 1u) << found;
  EXPECT_EQ(found["hits"][0]["post"]["id"], "p/1 é");
  EXPECT_EQ(found["hits"][0]["snippet_html"].get<std::string>().find("<b>"), std::string::npos);
  const json deleted = ok("DELETE", "/v1/posts/p%2F1%20%C3%A9");
  EXPECT_EQ(deleted["id"], "p/1 é");
  EXPECT_EQ(ok("POST", "/v1/search", query)["hits"].size(), 0u);
  EXPECT_EQ(call("POST", "/v1/posts", post).status, 409);
}

TEST_F(ServerTest, AnAuthorOptsOutOfSearchAndInAgain) {
  start();
  ASSERT_EQ(call("POST", "/v1/posts", {{"id", "1"}, {"author", "ada b"}, {"text", "a laptop"}}).status, 201);
  const std::string path = "/v1/authors/ada%20b/opt-outs";
  const auto found = [&] { return ok("POST", "/v1/search", {{"query", "laptop"}})["hits"].size(); };
  EXPECT_EQ(ok("GET", path)["opt_outs"], json::array());
  EXPECT_EQ(found(), 1u);
  EXPECT_EQ(ok("POST", path, {{"purpose", "search"}})["opt_outs"], json::array({"search"}));
  EXPECT_EQ(found(), 0u);
  EXPECT_EQ(ok("POST", path, {{"purpose", "search"}, {"opt_out", false}})["opt_outs"], json::array());
  EXPECT_EQ(found(), 1u);
  EXPECT_EQ(call("POST", path, {{"purpose", "sales"}}).status, 400);
}

// A post that was let in before its author was deleted, and is written after the deletion has purged the store. A pipe
// in the place of a segment's file holds the store for as long as nobody reads it.
TEST_F(ServerTest, ADeletionReachesAPostThatComesInMeanwhile) {
  start();
  Platform& platform = server_->platform();
  ASSERT_EQ(call("POST", "/v1/posts", {{"id", "1"}, {"author", "ada"}, {"text", "a laptop"}}).status, 201);
  const std::string segment = platform.workspace.posts() / "000001.jsonl.zst.tmp";
  ASSERT_EQ(::mkfifo(segment.c_str(), 0600), 0);
  std::thread writer([&] {
    Post large{.id = "2", .author = "ada", .text = random_hex(200'000)};  // more than a pipe takes
    EXPECT_THROW(platform.posts.append_segment({large}), IoError);        // a pipe cannot be synced
  });
  const int pipe = ::open(segment.c_str(), O_RDONLY);  // returns when the writer has opened it, too
  ClientResponse response;
  std::thread client([&] {
    response = call("POST", "/v1/posts", {{"id", "3"}, {"author", "mallory"}, {"text", "a laptop"}});
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // the post waits for the store
  platform.control.add_tombstone({"author", "mallory", 0, "test"});
  for (char block[4096]; ::read(pipe, block, sizeof block) > 0;) continue;
  ::close(pipe);
  writer.join();
  client.join();
  EXPECT_EQ(response.status, 409);
  std::vector<std::string> authors;
  platform.posts.for_each([&](const Post& post) {
    authors.push_back(post.author);
    return true;
  });
  EXPECT_EQ(authors, std::vector<std::string>{"ada"});
}

// Its text may have been in a prompt, of an Ask or another.
TEST_F(ServerTest, ADeletionEmptiesThePrefixCaches) {
  start();
  Platform& platform = server_->platform();
  const auto complete = [&] {
    ok("POST", "/v1/completions",
       {{"model", "own"}, {"prompt", "a post about laptops and linux and more posts"}, {"max_tokens", 20}});
  };
  const auto cached = [&] { return platform.models.own()->stats().pages_cached; };
  DeletionWatch watch(platform.workspace, platform.control, platform.posts, platform.search.get(), platform.models);
  watch.look(), watch.look();
  complete();
  watch.look();
  EXPECT_GT(cached(), 0) << "there was no deletion";
  ok("DELETE", "/v1/posts/1");
  EXPECT_EQ(cached(), 0);
  watch.look(), watch.look();
  complete();
  EXPECT_GT(cached(), 0);
  ControlDb(platform.workspace.control_db()).add_tombstone({"post", "2", 0, "by another process"});
  watch.look();
  EXPECT_EQ(cached(), 0);
}

// As by `starling delete`, which can write neither the posts nor the index while a server does.
TEST_F(ServerTest, ADeletionOfAnotherProcessReachesTheIndexAndTheRawPosts) {
  start();
  Platform& platform = server_->platform();
  for (const char* id : {"1", "2"})
    ASSERT_EQ(call("POST", "/v1/posts", {{"id", id}, {"author", "ada"}, {"text", "a laptop"}}).status, 201);
  DeletionWatch watch(platform.workspace, platform.control, platform.posts, platform.search.get(), platform.models);
  watch.look();
  {
    ControlDb control(platform.workspace.control_db());
    PostStore posts(platform.workspace.posts());
    SearchService search(platform.workspace, platform.config, posts, control, nullptr);
    EXPECT_NE(delete_content(platform.workspace, control, posts, &search, "post", "1", "test").pending, "");
  }
  EXPECT_EQ(platform.search->indexed_posts(), 2u);
  watch.look();
  EXPECT_EQ(platform.search->indexed_posts(), 1u);
  watch.look();
  EXPECT_EQ(platform.posts.size(), 1u);
  EXPECT_TRUE(platform.control.unpurged().empty());
}

TEST_F(ServerTest, ADeletionIsTriedAgainUntilTheRawPostsAreFree) {
  const Workspace workspace = Workspace::create(root_ / "workspace", "");
  PostStore(workspace.posts()).append({.id = "1", .author = "ada", .text = "a laptop"});
  start();
  Platform& platform = server_->platform();
  DeletionWatch watch(platform.workspace, platform.control, platform.posts, platform.search.get(), platform.models);
  std::optional<FileLock> ingestion(std::in_place, workspace.posts() / ".lock", "ingest");
  ControlDb(workspace.control_db()).add_tombstone({"post", "1", 0, "by another process"});
  watch.look(), watch.look();
  EXPECT_EQ(platform.posts.size(), 1u);
  ok("POST", "/v1/completions",
     {{"model", "own"}, {"prompt", "a post about laptops and linux and more posts"}, {"max_tokens", 20}});
  watch.look();
  EXPECT_GT(platform.models.own()->stats().pages_cached, 0) << "while it waits, the caches stay";
  ingestion.reset();
  watch.look();
  EXPECT_EQ(platform.posts.size(), 0u);
  EXPECT_TRUE(platform.control.unpurged().empty());
}

TEST_F(ServerTest, ADeletionLeavesNothingForTheWatch) {
  start();
  ASSERT_EQ(call("POST", "/v1/posts", {{"id", "1"}, {"author", "ada"}, {"text", "a laptop"}}).status, 201);
  EXPECT_EQ(ok("DELETE", "/v1/authors/ada")["purged_posts"], 1);
  EXPECT_TRUE(server_->platform().control.unpurged().empty());
}

TEST_F(ServerTest, APostWithoutIdOrTextIs400) {
  start();
  EXPECT_EQ(error_code(call("POST", "/v1/posts", {{"text", "x"}})), "invalid_post");
  EXPECT_EQ(error_code(call("POST", "/v1/posts", {{"id", "1"}, {"text", ""}})), "invalid_post");
  EXPECT_EQ(error_code(call("POST", "/v1/posts", {{"id", "1"}, {"text", "x"}, {"time", "yesterday"}})), "invalid_post");
}

TEST_F(ServerTest, ASearchWithAWrongFieldNamesIt) {
  start();
  EXPECT_EQ(error_code(call("POST", "/v1/search", {{"limit", 5}})), "missing_field");
  for (const json& body :
       {json{{"query", "x"}, {"limit", 1000}}, json{{"query", "x"}, {"stage", "best"}}, json{{"query", 7}}})
    EXPECT_EQ(error_code(call("POST", "/v1/search", body)), "invalid_field") << body;
}

TEST_F(ServerTest, AskWithoutAnAnswerSaysSo) {
  start();
  const json answer = ok("POST", "/v1/ask", {{"question", "who invented the flux capacitor?"}});
  EXPECT_EQ(answer["answered"], false);
  EXPECT_EQ(answer["message"], "no answer in the posts");
}

TEST_F(ServerTest, ACompletionCountsItsTokensAndRepeatsWithItsSeed) {
  start();
  const json body = {{"model", "own"}, {"prompt", "a post"}, {"max_tokens", 12}, {"seed", 7}};
  const json first = ok("POST", "/v1/completions", body), second = ok("POST", "/v1/completions", body);
  EXPECT_EQ(first["object"], "text_completion");
  EXPECT_EQ(first["choices"][0]["text"], second["choices"][0]["text"]);
  EXPECT_GT(first["usage"]["prompt_tokens"], 1);
  EXPECT_EQ(first["usage"]["total_tokens"],
            first["usage"]["prompt_tokens"].get<int>() + first["usage"]["completion_tokens"].get<int>());
  EXPECT_LE(first["usage"]["completion_tokens"], 12);
  const std::string reason = first["choices"][0]["finish_reason"];
  EXPECT_TRUE(reason == "length" || reason == "stop");
}

TEST_F(ServerTest, AStreamedChatHasTheTextOfTheWholeOneAndEndsWithDone) {
  start();
  json body = {
      {"model", "own"}, {"messages", {{{"role", "user"}, {"content", "hello"}}}}, {"max_tokens", 20}, {"seed", 3}};
  const json whole = ok("POST", "/v1/chat/completions", body);
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  const ClientResponse response = call("POST", "/v1/chat/completions", body);
  EXPECT_EQ(response.headers.at("content-type"), "text/event-stream");
  std::string text;
  const std::vector<json> events = events_of(response.body);
  for (const json& event : events) {
    EXPECT_EQ(event["object"], "chat.completion.chunk");
    for (const json& choice : event["choices"]) text += choice["delta"].value("content", "");
  }
  EXPECT_EQ(text, whole["choices"][0]["message"]["content"]);
  ASSERT_GE(events.size(), 3u);
  EXPECT_EQ(events.front()["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(events[events.size() - 2]["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"]);
  json usage = events.back()["usage"], expected = whole["usage"];
  usage.erase("prompt_tokens_details"), expected.erase("prompt_tokens_details");  // the second finds the first's pages
  EXPECT_EQ(usage, expected);
}

TEST_F(ServerTest, AParameterThatIsWrongOrNotSupportedIsNamed) {
  start();
  const json messages = {{{"role", "user"}, {"content", "x"}}};
  const std::vector<std::pair<json, std::string>> cases = {{{{"temperature", 3}}, "temperature"},
                                                           {{{"top_p", -1}}, "top_p"},
                                                           {{{"max_tokens", 0}}, "max_tokens"},
                                                           {{{"n", 200}}, "n"},
                                                           {{{"stop", 5}}, "stop"},
                                                           {{{"tools", {{{"type", "function"}}}}}, "tools"},
                                                           {{{"top_logprobs", 2}}, "top_logprobs"},
                                                           {{{"stream", "yes"}}, "stream"},
                                                           {{{"seed", 1.5}}, "seed"}};
  for (const auto& [extra, param] : cases) {
    json body = {{"model", "own"}, {"messages", messages}};
    body.update(extra);
    const ClientResponse response = call("POST", "/v1/chat/completions", body);
    EXPECT_EQ(response.status, 400) << body;
    EXPECT_EQ(json::parse(response.body)["error"]["param"], param);
  }
  EXPECT_EQ(
      call("POST", "/v1/chat/completions", {{"model", "own"}, {"messages", {{{"role", "root"}, {"content", "x"}}}}})
          .status,
      400);
}

TEST_F(ServerTest, APromptLongerThanTheContextIs400) {
  start();
  const ClientResponse response =
      call("POST", "/v1/completions", {{"model", "own"}, {"prompt", std::string(5000, 'q')}});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(error_code(response), "context_length_exceeded");
}

TEST_F(ServerTest, AnEmbeddingIsAUnitVectorAndBase64GivesTheSameFloats) {
  start();
  const json plain = ok("POST", "/v1/embeddings", {{"input", {"a laptop", "a post"}}});
  ASSERT_EQ(plain["data"].size(), 2u);
  const auto vector = plain["data"][0]["embedding"].get<std::vector<float>>();
  EXPECT_EQ(vector.size(), 32u);
  double square = 0;
  for (const float value : vector) square += value * value;
  EXPECT_NEAR(square, 1, 1e-4);  // f32 sums of 32 values
  const json coded = ok("POST", "/v1/embeddings", {{"input", "a laptop"}, {"encoding_format", "base64"}});
  EXPECT_EQ(coded["data"][0]["embedding"].get<std::string>().size(), 172u);  // 4 * ceil(32 * 4 / 3)
}

TEST_F(ServerTest, TokensAreEmbeddedAsTheirTextIs) {
  start();
  const auto embedding = [&](const json& input) { return ok("POST", "/v1/embeddings", {{"input", input}})["data"]; };
  const json text = embedding("a laptop");
  const json plain = ok("POST", "/tokenize", {{"model", "own"}, {"text", "a laptop"}})["tokens"];
  const json whole =
      ok("POST", "/tokenize", {{"model", "own"}, {"text", "a laptop"}, {"add_special_tokens", true}})["tokens"];
  EXPECT_EQ(embedding(plain), text) << "one list of tokens";
  EXPECT_EQ(embedding(json::array({whole})), text) << "a list of lists; the begin token is there already";
  EXPECT_EQ(embedding(json::array({plain, "a laptop"}))[1]["embedding"], text[0]["embedding"]);
  for (const json& wrong : {json::array({1, "a"}), json::array({json::array()}), json::array({-1}),
                            json::array({99999}), json::array({1.5}), json::array({json::array({true})})}) {
    const ClientResponse response = call("POST", "/v1/embeddings", {{"input", wrong}});
    EXPECT_EQ(response.status, 400) << wrong;
    EXPECT_EQ(json::parse(response.body)["error"]["param"], "input") << wrong;
  }
}

TEST_F(ServerTest, AServiceTierIsAnsweredAndAnUnknownOneRefused) {
  start();
  const auto complete = [&](const json& tier) {
    json body = {{"model", "own"}, {"prompt", "a"}, {"max_tokens", 2}};
    if (!tier.is_null()) body["service_tier"] = tier;
    return call("POST", "/v1/completions", body);
  };
  EXPECT_EQ(json::parse(complete("flex").body)["service_tier"], "flex");
  EXPECT_EQ(json::parse(complete("priority").body)["service_tier"], "default");
  EXPECT_FALSE(json::parse(complete(nullptr).body).contains("service_tier"));
  EXPECT_EQ(complete("slow").status, 400);
  EXPECT_EQ(call("POST", "/v1/embeddings", {{"input", "a"}, {"service_tier", "slow"}}).status, 400);
}

TEST_F(ServerTest, TheLogSaysWhatWasAskedOnlyWhenItIsToldTo) {
  const auto log_of = [&](const std::string& setting) {
    std::ostringstream text;
    const auto before = spdlog::default_logger();
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text)));
    start({"server.log_requests=true", setting});
    call("POST", "/v1/completions", {{"model", "own"}, {"prompt", "my\nsecret"}, {"max_tokens", 1}});
    server_.reset();
    spdlog::set_default_logger(before);
    fs::remove_all(root_ / "workspace");
    return text.str();
  };
  const std::string without = log_of("server.log_content=false"), with = log_of("server.log_content=true");
  EXPECT_THAT(without, AllOf(HasSubstr("POST /v1/completions 200"), Not(HasSubstr("secret"))));
  EXPECT_THAT(with, HasSubstr("my\\\\nsecret")) << "on one line";
}

TEST_F(ServerTest, WithoutAModelTheServerStartsAndSaysWhatIsMissing) {
  start({}, false);
  EXPECT_EQ(call("GET", "/healthz", {}, "").status, 200);
  EXPECT_EQ(call("GET", "/readyz", {}, "").status, 503);
  const ClientResponse chat =
      call("POST", "/v1/chat/completions", {{"model", "own"}, {"messages", {{{"role", "user"}, {"content", "x"}}}}});
  EXPECT_EQ(chat.status, 404);
  EXPECT_EQ(error_code(chat), "model_not_found");
  EXPECT_EQ(call("POST", "/v1/embeddings", {{"input", "x"}}).status, 404);
  const json info = ok("GET", "/v1/info");
  EXPECT_THAT(info["problems"].dump(), HasSubstr("starling train"));
  EXPECT_EQ(ok("GET", "/v1/models")["data"].size(), 0u);
}

TEST_F(ServerTest, ADamagedModelDoesNotStopTheServer) {
  const Workspace workspace = Workspace::create(root_ / "workspace", "");
  make_model(workspace.model("own"), 128);
  write_file_atomic(workspace.model("own") / "model.safetensors", "damaged");
  start({}, false);
  EXPECT_EQ(call("GET", "/v1/info").status, 200);
  EXPECT_EQ(call("GET", "/readyz", {}, "").status, 503);
}

TEST_F(ServerTest, MetricsCountRequestsByRouteAndTokensByModel) {
  start();
  ok("POST", "/v1/completions", {{"model", "own"}, {"prompt", "a post"}, {"max_tokens", 4}});
  call("GET", "/v1/nothing");
  const std::string text = call("GET", "/metrics", {}, "read").body;
  EXPECT_THAT(text, HasSubstr(R"(starling_http_requests_total{method="POST",route="/v1/completions",status="200"} 1)"));
  EXPECT_THAT(text, HasSubstr(R"(route="unknown",status="404")"));
  EXPECT_THAT(text, HasSubstr(R"(starling_tokens_total{kind="completion",model="own"})"));
  EXPECT_THAT(text, HasSubstr("starling_http_connections"));
  EXPECT_THAT(text, HasSubstr("starling_heap_used_bytes"));
  EXPECT_EQ(text.find("/v1/nothing"), std::string::npos);
}

TEST_F(ServerTest, TheAuditShowsADeletionAndThatTheChainHolds) {
  start();
  const fs::path bad_rows = root_ / "workspace/posts/quarantine.jsonl";
  std::ofstream(bad_rows) << R"({"raw":"{\"author\":\"ada\",\"text\":5}"})"
                          << "\n"
                          << R"({"raw":"{\"author\":\"bob\",\"text\":5}"})"
                          << "\n";
  EXPECT_EQ(ok("DELETE", "/v1/authors/ada")["purged_bad_rows"], 1);
  EXPECT_THAT(read_file(bad_rows), AllOf(HasSubstr("bob"), Not(HasSubstr("ada"))));
  const json audit = ok("GET", "/v1/audit?limit=10");
  EXPECT_EQ(audit["verified"], true);
  EXPECT_THAT(audit["records"].dump(), HasSubstr("ada"));
  EXPECT_EQ(call("GET", "/v1/audit?limit=zero").status, 400);
}

TEST_F(ServerTest, TrainingShowsEveryRunWithItsPointsAndCard) {
  start();
  const fs::path run = root_ / "workspace/runs/own";
  fs::create_directories(run);
  std::ofstream(run / "log.jsonl") << "{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"loss\":2.25}\n{\"step\":3,\"lo";
  const json stopped = ok("GET", "/v1/training")["runs"][0];
  EXPECT_EQ(stopped["state"], "stopped");
  EXPECT_EQ(stopped["points"], json::parse(R"([{"step":1,"loss":2.5},{"step":2,"loss":2.25}])"));
  std::ofstream(root_ / "workspace/runs/.own.lock") << ::getpid() << "\n";
  EXPECT_EQ(ok("GET", "/v1/training")["runs"][0]["state"], "running");
  // Process 1 is root's, to whom another user's server may send no signal.
  std::ofstream(root_ / "workspace/runs/.own.lock") << "1\n";
  const bool root = ::geteuid() == 0;
  if (root) {
    ASSERT_EQ(::setresuid(65534, 65534, 0), 0);
  }
  const json of_others = ok("GET", "/v1/training")["runs"][0];
  if (root) {
    ASSERT_EQ(::setresuid(0, 0, 0), 0);
  }
  EXPECT_EQ(of_others["state"], "running");
  std::ofstream(run / "card.md") << "# own";
  const json done = ok("GET", "/v1/training")["runs"][0];
  EXPECT_EQ(done["state"], "done");
  EXPECT_EQ(done["card_markdown"], "# own");
}

TEST_F(ServerTest, APlanIsThePlannersAndAWrongOneIs400) {
  start();
  EXPECT_TRUE(
      ok("POST", "/v1/plan", {{"model", "70b"}, {"gpus", 10000}, {"gpu", "a100-80g"}, {"tokens", "2T"}}).is_object());
  EXPECT_EQ(call("POST", "/v1/plan", {{"gpu", "abacus"}}).status, 400);
}

TEST_F(ServerTest, AWrongBriefIs400AndNamesTheField) {
  start();
  const ClientResponse response = call("POST", "/v1/ads/write", {{"brief", {{"advertisr", "x"}}}});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(error_code(response), "invalid_brief");
  EXPECT_EQ(call("POST", "/v1/ads/events", {{"token", "forged"}, {"type", "click"}}).status, 400);
  EXPECT_EQ(call("GET", "/v1/ads/campaigns/nothing").status, 404);
}

}  // namespace
}  // namespace starling

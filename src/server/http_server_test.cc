#include "server/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/time.h"
#include "server/test_client.h"

namespace starling {
namespace {

using testing::HasSubstr;

// A server whose routes show what the HTTP layer does: /echo, /stream, /block, ...
class HttpServerTest : public testing::Test {
 protected:
  void start(HttpOptions options = {}) {
    options.port = 0;
    server_ = std::make_unique<HttpServer>(
        options, [this](Request& head) { return dispatch(head); },
        [this](const FinishedRequest& finished) {
          std::lock_guard lock(mutex_);
          statuses_.push_back(finished.status);
        });
    server_->start();
  }
  void TearDown() override {
    release_.store(true);
    server_.reset();
  }

  Dispatch dispatch(Request& head) {
    const std::string& name = head.path.front();
    Dispatch found{.route = name};
    if (name == "echo") found.answer = [](const Request& request) { return Response{.body = request.body}; };
    if (name == "health") {
      found.lane = Lane::io;
      found.answer = [](const Request&) { return Response{.body = "ok"}; };
    }
    if (name == "when") found.answer = [](const Request& r) { return Response{.body = std::to_string(r.arrival_s)}; };
    if (name == "refused")
      found.admit = [](Request&) { return std::optional(error_response(HttpError(401, "no", "no"))); };
    if (name == "throws") found.answer = [](const Request&) -> Response { throw Error("secret path /srv/x"); };
    if (name == "stream") found.answer = [](const Request&) { return stream_of_three(); };
    if (name == "endless") found.answer = [this](const Request&) { return endless_stream(); };
    if (name == "block") found.answer = [this](const Request& request) { return block(request); };
    if (name == "generate") {
      found.lane = Lane::generation;
      found.answer = [this](const Request& request) { return block(request); };
    }
    return found;
  }

  static Response stream_of_three() {
    Response response{.content_type = "text/event-stream"};
    response.stream = [](StreamWriter& writer) {
      for (const char* piece : {"one\n", "two\n", "three\n"}) writer.write(piece);
    };
    return response;
  }

  Response endless_stream() {
    Response response{.content_type = "text/event-stream"};
    response.stream = [this](StreamWriter& writer) {
      const std::string piece(64 << 10, 'x');
      while (writer.write(piece)) ++pieces_written_;
      stream_ended_.set_value();
    };
    return response;
  }

  // Answers when the client has left or the test says so.
  Response block(const Request& request) {
    ++blocked_;
    while (!*request.cancelled && !release_) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (*request.cancelled) ++cancelled_;
    return {.body = "released"};
  }

  template <typename Condition>
  static bool eventually(const Condition& condition) {
    for (int i = 0; i < 10'000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return condition();
  }

  std::unique_ptr<HttpServer> server_;
  std::atomic<int> blocked_{0}, cancelled_{0}, pieces_written_{0};
  std::atomic<bool> release_{false};
  std::promise<void> stream_ended_;
  std::mutex mutex_;
  std::vector<int> statuses_;
};

TEST_F(HttpServerTest, OneConnectionServesManyRequests) {
  start();
  TestClient client(server_->port());
  for (const char* body : {"a", "bb", ""}) EXPECT_EQ(client.request("POST", "/echo", "", body).body, body);
}

TEST_F(HttpServerTest, ARequestArrivesBeforeItsBodyAndBeforeAThreadIsFree) {
  HttpOptions one_thread;
  one_thread.quick_threads = 1;
  start(one_thread);
  TestClient blocks(server_->port()), waits(server_->port());
  blocks.send("GET /block HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return blocked_ == 1; }));
  waits.send("POST /when HTTP/1.1\r\nContent-Length: 2\r\n\r\nx");
  waits.send("x");
  ASSERT_TRUE(eventually([&] { return server_->queued(Lane::quick) == 1; }));
  const double queued_s = monotonic_s();
  release_ = true;
  const double arrival_s = std::stod(waits.read_response().body);
  EXPECT_GT(arrival_s, 0);
  EXPECT_LE(arrival_s, queued_s);
}

TEST_F(HttpServerTest, RequestsSentBeforeTheAnswersAreAnsweredInOrder) {
  start();
  TestClient client(server_->port());
  std::string all;
  for (int i = 0; i < 20; ++i) all += "POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\n" + std::to_string(10 + i);
  client.send(all);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client.read_response().body, std::to_string(10 + i));
}

TEST_F(HttpServerTest, EveryResponseCarriesTheSecurityHeaders) {
  start();
  const ClientResponse response = fetch(server_->port(), "GET", "/health");
  EXPECT_EQ(response.headers.at("x-content-type-options"), "nosniff");
  EXPECT_EQ(response.headers.at("x-frame-options"), "DENY");
  EXPECT_EQ(response.headers.at("cache-control"), "no-store");
  EXPECT_THAT(response.headers.at("content-security-policy"), HasSubstr("default-src 'none'"));
  EXPECT_FALSE(response.headers.contains("access-control-allow-origin"));
}

TEST_F(HttpServerTest, AHeadResponseHasTheLengthAndNoBody) {
  start();
  TestClient client(server_->port());
  const ClientResponse response = client.request("HEAD", "/health");
  EXPECT_EQ(response.headers.at("content-length"), "2");
  EXPECT_EQ(client.request("GET", "/health").body, "ok");  // nothing of a body stands before this answer
}

TEST_F(HttpServerTest, AStreamArrivesInChunksAndTheConnectionGoesOn) {
  start();
  TestClient client(server_->port());
  const ClientResponse response = client.request("GET", "/stream");
  EXPECT_EQ(response.headers.at("transfer-encoding"), "chunked");
  EXPECT_EQ(response.body, "one\ntwo\nthree\n");
  EXPECT_EQ(client.request("POST", "/echo", "", "next").body, "next");
}

TEST_F(HttpServerTest, AStreamForHttp10EndsWithTheConnection) {
  start();
  TestClient client(server_->port());
  client.send("GET /stream HTTP/1.0\r\n\r\n");
  const ClientResponse response = client.read_response();
  EXPECT_FALSE(response.headers.contains("transfer-encoding"));
  EXPECT_EQ(response.body, "one\ntwo\nthree\n");
}

TEST_F(HttpServerTest, AnExceptionIsA500WithoutItsText) {
  start();
  const ClientResponse response = fetch(server_->port(), "GET", "/throws");
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.body.find("/srv/x"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(response.body)["error"]["type"], "server_error");
}

TEST_F(HttpServerTest, ABodyOverTheLimitIs413WhetherItsSizeIsDeclaredOrNot) {
  start({.max_body_bytes = 1000});
  EXPECT_EQ(fetch(server_->port(), "POST", "/echo", "", std::string(1000, 'x')).status, 200);
  EXPECT_EQ(fetch(server_->port(), "POST", "/echo", "", std::string(1001, 'x')).status, 413);
  TestClient client(server_->port());
  client.send("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  client.send("400\r\n" + std::string(1024, 'x') + "\r\n");
  EXPECT_EQ(client.read_response().status, 413);
}

TEST_F(HttpServerTest, AHeadOverTheLimitIs431) {
  start({.max_header_bytes = 1024});
  TestClient client(server_->port());
  client.send("GET /health HTTP/1.1\r\nX: " + std::string(2000, 'x') + "\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 431);
}

TEST_F(HttpServerTest, TheLinesOfChunksAndTrailersHaveTheLimitOfAHead) {
  start({.max_header_bytes = 1024});
  for (const char* begin : {"5;x=", "0\r\nX: "}) {
    TestClient client(server_->port());
    client.send("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(begin + std::string(100'000, 'x'));
    EXPECT_EQ(client.read_response().status, 431) << begin;
  }
}

TEST_F(HttpServerTest, WhatIsNotHttpIs400) {
  start();
  for (const char* bytes :
       {"\x16\x03\x01\x02\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /a b HTTP/1.1\r\n\r\n",
        "GET /%zz HTTP/1.1\r\n\r\n", "GET /%ff HTTP/1.1\r\n\r\n", "GET /%00 HTTP/1.1\r\n\r\n",
        "GET http://x/ HTTP/1.1\r\n\r\n", "POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /echo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST /echo HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    TestClient client(server_->port());
    client.send(bytes);
    EXPECT_EQ(client.read_response().status, 400) << bytes;
  }
}

TEST_F(HttpServerTest, ARequestCutOffAnywhereLeavesTheServerServing) {
  start();
  const std::string whole = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
  for (size_t size = 0; size < whole.size(); ++size) {
    TestClient client(server_->port());
    client.send(std::string_view(whole).substr(0, size));
  }
  EXPECT_EQ(fetch(server_->port(), "POST", "/echo", "", "still here").body, "still here");
}

TEST_F(HttpServerTest, ARefusedRequestIsAnsweredBeforeItsBodyIsRead) {
  start();
  TestClient client(server_->port());
  client.send("POST /refused HTTP/1.1\r\nContent-Length: 100000\r\n\r\n");  // and no body
  EXPECT_EQ(client.read_response().status, 401);
}

TEST_F(HttpServerTest, ACompressedBodyIs415) {
  start();
  const auto answer_to = [&](const std::string& coding) {
    TestClient client(server_->port());
    client.send("POST /echo HTTP/1.1\r\nContent-Encoding: " + coding + "\r\nContent-Length: 2\r\n\r\nxx");
    return client.read_response();
  };
  const ClientResponse refused = answer_to("gzip");
  EXPECT_EQ(refused.status, 415);
  EXPECT_EQ(refused.headers.at("accept-encoding"), "identity");
  EXPECT_THAT(refused.body, HasSubstr("Content-Encoding gzip"));
  EXPECT_EQ(answer_to("identity").body, "xx");
}

TEST_F(HttpServerTest, AClientThatAsksMayItSendIsToldToContinue) {
  start();
  TestClient client(server_->port());
  client.send("POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.read_response(true).status, 100);
  client.send("hi");
  EXPECT_EQ(client.read_response().body, "hi");
}

TEST_F(HttpServerTest, ASlowHeadAndASlowBodyAreClosed) {
  start({.header_s = 0.2, .body_s = 0.2});
  TestClient head(server_->port()), body(server_->port());
  head.send("GET /hea");
  body.send("POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nhal");
  EXPECT_TRUE(head.closed_by_server());
  EXPECT_TRUE(body.closed_by_server());
}

TEST_F(HttpServerTest, AnIdleConnectionIsClosedWithoutAWord) {
  start({.idle_s = 0.2});
  TestClient client(server_->port());
  EXPECT_TRUE(client.closed_by_server());
  EXPECT_EQ(client.received(), "");
}

TEST_F(HttpServerTest, OneConnectionTooManyIsTurnedAwayAndAFreePlaceIsGivenAgain) {
  start({.max_connections = 2});
  auto first = std::make_unique<TestClient>(server_->port());
  TestClient second(server_->port());
  EXPECT_EQ(first->request("GET", "/health").status, 200);
  EXPECT_EQ(second.request("GET", "/health").status, 200);
  TestClient third(server_->port());
  EXPECT_EQ(third.read_response().status, 503);
  first.reset();
  ASSERT_TRUE(eventually([&] { return server_->connections() < 2; }));
  EXPECT_EQ(fetch(server_->port(), "GET", "/health").status, 200);
}

TEST_F(HttpServerTest, AReaderThatStopsReadingEndsItsStreamAndHoldsLittleMemory) {
  start({.write_s = 0.3});
  TestClient client(server_->port());
  client.send("GET /endless HTTP/1.1\r\n\r\n");
  stream_ended_.get_future().wait();          // the client never reads
  EXPECT_LT(pieces_written_ * 64, 64 << 10);  // KiB: sockets' buffers and 256 KiB, not what an endless stream makes
}

TEST_F(HttpServerTest, AClientThatLeavesCancelsItsRequest) {
  start();
  auto client = std::make_unique<TestClient>(server_->port());
  client->send("GET /generate HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return blocked_ == 1; }));
  client.reset();
  EXPECT_TRUE(eventually([&] { return cancelled_ == 1; }));
  EXPECT_TRUE(eventually([&] { return server_->connections() == 0; }));
  EXPECT_EQ(statuses_, std::vector{499});
}

TEST_F(HttpServerTest, AFullQueueIs503AndOtherLanesGoOn) {
  start({.generation_threads = 1, .max_queued_generations = 1});
  TestClient running(server_->port()), queued(server_->port());
  running.send("GET /generate HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return blocked_ == 1; }));
  queued.send("GET /generate HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return server_->queued(Lane::generation) == 1; }));
  const ClientResponse third = fetch(server_->port(), "GET", "/generate");
  EXPECT_EQ(third.status, 503);
  EXPECT_EQ(third.headers.at("retry-after"), "1");
  EXPECT_EQ(fetch(server_->port(), "POST", "/echo", "", "x").status, 200);
  release_ = true;
  EXPECT_EQ(running.read_response().status, 200);
  EXPECT_EQ(queued.read_response().status, 200);
}

TEST_F(HttpServerTest, AStopEndsIdleConnectionsAndLetsARequestUnderWayFinish) {
  start({.drain_s = 60});
  TestClient idle(server_->port()), busy(server_->port());
  EXPECT_EQ(idle.request("GET", "/health").status, 200);
  busy.send("GET /block HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return blocked_ == 1; }));
  const int port = server_->port();
  std::thread stopping([&] { server_->stop(); });
  EXPECT_TRUE(idle.closed_by_server());
  EXPECT_FALSE(TestClient(port).connected());
  release_ = true;
  EXPECT_EQ(busy.read_response().body, "released");
  EXPECT_TRUE(busy.closed_by_server());
  stopping.join();
}

TEST_F(HttpServerTest, AStopCancelsWhatIsNotDoneAtItsDeadlineAndSaysSo) {
  HttpOptions one_thread{.drain_s = 0.1};
  one_thread.quick_threads = 1;
  start(one_thread);
  TestClient busy(server_->port()), queued(server_->port());
  busy.send("GET /block HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return blocked_ == 1; }));
  queued.send("GET /block HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return server_->queued(Lane::quick) == 1; }));
  server_->stop();
  EXPECT_EQ(cancelled_, 1);
  for (TestClient* client : {&busy, &queued}) {
    const ClientResponse answer = client->read_response();
    EXPECT_EQ(answer.status, 503);
    EXPECT_EQ(nlohmann::json::parse(answer.body)["error"]["code"], "shutting_down");
    EXPECT_TRUE(client->closed_by_server());
  }
  EXPECT_THAT(statuses_, testing::ElementsAre(503, 503));
}

TEST_F(HttpServerTest, AStopCutsAStreamOffAtItsDeadline) {
  start({.drain_s = 0.1});
  TestClient reader(server_->port());
  reader.send("GET /endless HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return pieces_written_ > 0; }));
  server_->stop();
  EXPECT_THAT(statuses_, testing::ElementsAre(499));
}

TEST_F(HttpServerTest, APortInUseIsAnErrorThatSaysSo) {
  start();
  HttpOptions same;
  same.port = server_->port();
  try {
    HttpServer second(same, {}, {});
    FAIL();
  } catch (const IoError& error) {
    EXPECT_THAT(error.what(), HasSubstr("the port is in use"));
  }
}

TEST_F(HttpServerTest, AHostThatIsNoAddressIsAnErrorThatSaysSo) {
  EXPECT_THROW(HttpServer({.host = "everywhere"}, {}, {}), IoError);
}

}  // namespace
}  // namespace starling

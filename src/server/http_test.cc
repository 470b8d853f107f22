#include "server/http.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "server/json_body.h"
#include "server/page.h"
#include "server/rate_limiter.h"
#include "server/router.h"

namespace starling {
namespace {

using Path = std::vector<std::string>;

Request parsed(std::string_view target) {
  Request request;
  parse_target(target, request);
  return request;
}

TEST(ParseTarget, SplitsBeforeItDecodes) {
  EXPECT_EQ(parsed("/").path, Path{""});
  EXPECT_EQ(parsed("/v1/posts/a%2Fb%20c").path, (Path{"v1", "posts", "a/b c"}));
  EXPECT_EQ(parsed("/a//b/").path, (Path{"a", "", "b", ""}));
  EXPECT_EQ(parsed("/a+b").path, Path{"a+b"});
}

TEST(ParseTarget, ReadsTheQuery) {
  const Request request = parsed("/x?a=1&b=%C3%A9+x&c&&d=");
  EXPECT_EQ(request.query, (std::map<std::string, std::string>{{"a", "1"}, {"b", "é x"}, {"c", ""}, {"d", ""}}));
}

TEST(ParseTarget, RefusesBrokenEscapesAndBytesThatAreNotUtf8) {
  for (const char* target : {"", "x", "/%", "/%4", "/%4g", "/%ff", "/%c3", "/%00", "/a?b=%80"})
    EXPECT_THROW(parsed(target), HttpError) << target;
}

TEST(ErrorResponse, HasOpenAisShape) {
  const auto body =
      nlohmann::json::parse(error_response(HttpError(404, "model_not_found", "no \"x\"\xff", "model")).body);
  EXPECT_EQ(body["error"]["message"], "no \"x\"\xEF\xBF\xBD");
  EXPECT_EQ(body["error"]["type"], "invalid_request_error");
  EXPECT_EQ(body["error"]["param"], "model");
  EXPECT_EQ(body["error"]["code"], "model_not_found");
  EXPECT_TRUE(nlohmann::json::parse(error_body(HttpError(400, "c", "m")))["error"]["param"].is_null());
}

TEST(ErrorResponse, HasTheTypeThatOpenAisGuideNames) {
  const auto type_of = [](int status, const char* code) {
    return nlohmann::json::parse(error_body(HttpError(status, code, "m")))["error"]["type"].get<std::string>();
  };
  EXPECT_EQ(type_of(400, "bad_json"), "invalid_request_error");
  EXPECT_EQ(type_of(401, "invalid_api_key"), "invalid_request_error");
  EXPECT_EQ(type_of(403, "role_not_allowed"), "invalid_request_error");
  EXPECT_EQ(type_of(404, "model_not_found"), "invalid_request_error");
  EXPECT_EQ(type_of(429, "rate_limit_exceeded"), "rate_limit_error");
  EXPECT_EQ(type_of(429, "insufficient_quota"), "insufficient_quota");
  EXPECT_EQ(type_of(500, "internal_error"), "server_error");
  EXPECT_EQ(type_of(503, "overloaded"), "service_unavailable_error");
}

TEST(JsonBody, RefusesWhatIsNotAnObjectInUtf8OfBoundedDepth) {
  const std::string deep = R"({"a":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("{"), std::string("{\"a\":\"\xff\"}"), std::string("{\"a\":1}x"),
        std::string("{\"a\":NaN}"), std::string("{\"a\":1e400}"), deep})
    EXPECT_THROW(JsonBody{text}, HttpError) << text.substr(0, 20);
}

TEST(JsonBody, RefusesAnObjectOfVeryManyMembersAndNotManyObjects) {
  std::string members, repeated, objects;
  for (int i = 0; i < 3000; ++i) {
    members += fmt::format(R"({}"{}":0)", i ? "," : "", i);
    repeated += i ? R"(,"a":0)" : R"("a":0)";
    objects += i ? R"(,{"a":"::,{"})" : R"({"a":"::,{"})";
  }
  EXPECT_THROW(JsonBody("{" + members + "}"), HttpError);
  EXPECT_THROW(JsonBody(R"({"tools":[{"x":{)" + members + "}}]}"), HttpError);
  EXPECT_THROW(JsonBody("{" + repeated + "}"), HttpError);
  EXPECT_NO_THROW(JsonBody(R"({"list":[)" + objects + "]}"));
}

TEST(JsonBody, NamesTheFieldThatIsWrong) {
  const JsonBody body(R"({"n":1.5,"big":18446744073709551615,"t":1,"empty":"","null":null,"yes":"yes"})");
  const auto param = [](const auto& read) -> std::string {
    try {
      read();
    } catch (const HttpError& error) {
      return error.status == 400 ? error.param : "wrong status";
    }
    return "no error";
  };
  EXPECT_EQ(param([&] { body.integer("n", 0, 0, 10); }), "n");
  EXPECT_EQ(param([&] { body.integer("big", 0, 0, INT64_MAX); }), "big");
  EXPECT_EQ(param([&] { body.number("n", 0, 0, 1); }), "n");
  EXPECT_EQ(param([&] { body.text("t", ""); }), "t");
  EXPECT_EQ(param([&] { body.text("empty"); }), "empty");
  EXPECT_EQ(param([&] { body.text("null"); }), "null");
  EXPECT_EQ(param([&] { body.boolean("yes", true); }), "yes");
  EXPECT_EQ(body.integer("null", 7, 0, 10), 7);
}

TEST(MatchRoute, FillsParametersAndTellsTheAllowedMethods) {
  const auto answer = [](Platform&, const Request&) { return Response{}; };
  const Route routes[] = {{"GET", "/a/{id}", kAnyRole, Lane::quick, answer},
                          {"DELETE", "/a/{id}", kAdminOnly, Lane::quick, answer},
                          {"GET", "/a/{id}/b", kAnyRole, Lane::quick, answer}};
  const auto match = [&](const char* method, const char* target, Request& request) {
    request = parsed(target);
    request.method = method;
    return match_route(routes, request);
  };
  Request request;
  EXPECT_EQ(match("GET", "/a/x%2Fy", request).route, &routes[0]);
  EXPECT_EQ(request.parameters.at("id"), "x/y");
  EXPECT_EQ(match("HEAD", "/a/x/b", request).route, &routes[2]);
  EXPECT_EQ(match("PUT", "/a/x", request).allowed, "GET, DELETE");
  for (const char* target : {"/a", "/a/", "/a/x/", "/a/x/c", "/A/x", "/", "/a/x/b/c"}) {
    const RouteMatch found = match("GET", target, request);
    EXPECT_TRUE(!found.route && found.allowed.empty()) << target;
  }
}

TEST(RateLimiter, GivesABurstThenTheRate) {
  RateLimiter limiter(2, 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.take({.name = "a"}, 100), 0);
  EXPECT_DOUBLE_EQ(limiter.take({.name = "a"}, 100), 0.5);
  EXPECT_EQ(limiter.take({.name = "b"}, 100), 0);  // each key has its own bucket
  EXPECT_EQ(limiter.take({.name = "a"}, 100.5), 0);
  EXPECT_GT(limiter.take({.name = "a"}, 100.5), 0);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.take({.name = "a"}, 1000), 0);  // never more than the burst
  EXPECT_GT(limiter.take({.name = "a"}, 1000), 0);
  const ApiKey fast{.name = "fast", .limits = {.requests_per_second = 4}}, slow{.name = "slow", .limits = {0.1}};
  for (int i = 0; i < 6; ++i) EXPECT_EQ(limiter.take(fast, 100), 0) << "twice the rate, twice at once";
  EXPECT_DOUBLE_EQ(limiter.take(fast, 100), 0.25);
  EXPECT_EQ(limiter.take(slow, 100), 0) << "one in any case";
  EXPECT_DOUBLE_EQ(limiter.take(slow, 100), 10);
}

}  // namespace
}  // namespace starling

// What a completion may ask for beyond its text: log-probabilities, several choices, a form, tools, tokens, quotas.
#include <cmath>
#include <thread>

#include "core/time.h"
#include "server/routes.h"
#include "server/test_server.h"

namespace starling {
namespace {

class CompletionsTest : public ServerTest {
 protected:
  CompletionsTest() { context_ = 2048; }  // room for a description of tools

  static json chat_body(const json& more = json::object()) {
    json body = {{"model", "own"}, {"messages", {{{"role", "user"}, {"content", "hello"}}}}, {"max_tokens", 16}};
    body.update(more);
    return body;
  }
  static json text_body(const json& more = json::object()) {
    json body = {{"model", "own"}, {"prompt", "a post about"}, {"max_tokens", 8}, {"seed", 5}};
    body.update(more);
    return body;
  }
  json chat(const json& more) { return ok("POST", "/v1/chat/completions", chat_body(more)); }
  json complete(const json& more = json::object()) { return ok("POST", "/v1/completions", text_body(more)); }
  json error_of(const std::string& target, const json& body) {
    const ClientResponse response = call("POST", target, body);
    EXPECT_EQ(response.status, 400) << target << body << response.body;
    return json::parse(response.body)["error"];
  }
  std::vector<TokenId> tokens_of(const std::string& text) {
    return ok("POST", "/tokenize", {{"model", "own"}, {"text", text}})["tokens"].get<std::vector<TokenId>>();
  }
};

constexpr const char* kPersonSchema =
    R"({"type":"object","properties":{"name":{"type":"string","maxLength":20},"age":{"type":"integer","minimum":0,"maximum":120},)"
    R"("tags":{"type":"array","items":{"enum":["a","b"]},"maxItems":3}},"required":["name","age"],"additionalProperties":false})";
json person_format() {
  return {{"type", "json_schema"}, {"json_schema", {{"name", "person"}, {"schema", json::parse(kPersonSchema)}}}};
}
void expect_person(const std::string& text) {
  const json person = json::parse(text, nullptr, false);
  ASSERT_TRUE(person.is_object()) << text;
  EXPECT_TRUE(person["name"].is_string()) << text;
  EXPECT_TRUE(person["age"].is_number_integer() && person["age"] >= 0 && person["age"] <= 120) << text;
  for (const json& tag : person.value("tags", json::array())) EXPECT_TRUE(tag == "a" || tag == "b") << text;
  for (const auto& [name, value] : person.items()) EXPECT_TRUE(name == "name" || name == "age" || name == "tags");
}

TEST_F(CompletionsTest, AnAnswerMayFillTheContextUnlessSaidOtherwise) {
  context_ = 400;
  start();
  json body = chat_body({{"ignore_eos", true}, {"max_tokens", nullptr}});
  const json answer = ok("POST", "/v1/chat/completions", body);
  EXPECT_EQ(answer["usage"]["total_tokens"], context_);
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  body.erase("max_tokens");
  EXPECT_EQ(ok("POST", "/v1/chat/completions", body)["usage"]["total_tokens"], context_);
}

TEST_F(CompletionsTest, TheScoresOfAnEchoedTextSumToWhatScoreSays) {
  start();
  const std::string prefix = "a post about ", candidate = "laptops";
  const json answer = complete({{"prompt", prefix + candidate}, {"echo", true}, {"logprobs", 2}, {"max_tokens", 0}});
  const json choice = answer["choices"][0], &scores = choice["logprobs"];
  EXPECT_EQ(choice["text"], prefix + candidate);
  EXPECT_EQ(choice["finish_reason"], "length");
  std::string joined;
  double sum = 0;
  for (size_t i = 0; i < scores["tokens"].size(); ++i) {
    EXPECT_EQ(scores["text_offset"][i], joined.size());
    joined += scores["tokens"][i].get<std::string>();
    EXPECT_EQ(scores["top_logprobs"][i].size(), 2u);
    if (joined.size() > prefix.size()) sum += scores["token_logprobs"][i].get<double>();
  }
  EXPECT_EQ(joined, prefix + candidate);
  const json score =
      ok("POST", "/v1/score", {{"model", "own"}, {"prefix", prefix}, {"candidates", {candidate, "linux"}}});
  EXPECT_NEAR(score["data"][0]["log_likelihood"].get<double>(), sum, 1e-3);  // f32 scores of a few tokens
  EXPECT_LT(score["data"][1]["log_likelihood"].get<double>(), 0);
}

TEST_F(CompletionsTest, AnEchoedPromptOfOneTokenHasItsPlaceAmongTheScores) {
  start();
  const std::vector<TokenId> prompt = {tokens_of("about").front()};
  for (const int max_tokens : {0, 3}) {
    const json answer = complete(
        {{"prompt", prompt}, {"echo", true}, {"logprobs", 1}, {"max_tokens", max_tokens}, {"ignore_eos", true}});
    const json choice = answer["choices"][0], &scores = choice["logprobs"];
    ASSERT_EQ(scores["tokens"].size(), 1 + answer["usage"]["completion_tokens"].get<size_t>());
    EXPECT_TRUE(choice["text"].get<std::string>().starts_with(scores["tokens"][0].get<std::string>())) << choice;
    EXPECT_TRUE(scores["token_logprobs"][0].is_null()) << "there is nothing before it";
  }
}

TEST_F(CompletionsTest, ChatLogprobsHaveTheBytesOfTheTextStreamedOrNot) {
  start();
  json body = chat_body({{"logprobs", true}, {"top_logprobs", 3}, {"seed", 2}});
  const json whole = ok("POST", "/v1/chat/completions", body)["choices"][0]["logprobs"]["content"];
  ASSERT_FALSE(whole.empty());
  for (const json& token : whole) {
    EXPECT_EQ(token["top_logprobs"].size(), 3u);
    EXPECT_LE(token["logprob"], 0);
    EXPECT_TRUE(token["bytes"].is_array());
  }
  body["stream"] = true;
  json streamed = json::array();
  for (const json& event : events_of(call("POST", "/v1/chat/completions", body).body))
    for (const json& choice : event["choices"])
      if (choice["logprobs"].is_object())
        for (const json& token : choice["logprobs"]["content"]) streamed.push_back(token);
  EXPECT_EQ(streamed, whole);
}

std::string content_of(const std::vector<json>& events) {
  std::string content;
  for (const json& event : events)
    for (const json& choice : event["choices"]) content += choice["delta"].value("content", "");
  return content;
}

TEST_F(CompletionsTest, TokensOfTheFirstSpaceAreToldOnceInAStreamToo) {
  start();
  json body = chat_body({{"logprobs", true}, {"grammar", "root ::= \"\\n\"{8} \"bcd\""}});
  const json whole = ok("POST", "/v1/chat/completions", body)["choices"][0];
  EXPECT_EQ(whole["message"]["content"], "bcd");
  body["stream"] = true;
  const std::vector<json> events = events_of(call("POST", "/v1/chat/completions", body).body);
  EXPECT_EQ(content_of(events), "bcd");
  json tokens = json::array();
  for (const json& event : events)
    for (const json& choice : event["choices"])
      if (choice["logprobs"].is_object())
        for (const json& token : choice["logprobs"]["content"]) tokens.push_back(token["token"]);
  std::string text;
  for (const json& token : tokens) text += token.get<std::string>();
  EXPECT_EQ(text, "\n\n\n\n\n\n\n\nbcd") << tokens;
}

TEST_F(CompletionsTest, BesideToolsATextLosesItsFirstSpaceInAStreamToo) {
  start();
  json body = chat_body({{"tools", json::array({{{"type", "function"}, {"function", {{"name", "f"}}}}})},
                         {"logit_bias", {{std::to_string(tokens_of(" ").at(0)), 100}}}});
  EXPECT_EQ(ok("POST", "/v1/chat/completions", body)["choices"][0]["message"]["content"], "");
  body["stream"] = true;
  EXPECT_EQ(content_of(events_of(call("POST", "/v1/chat/completions", body).body)), "");
}

TEST_F(CompletionsTest, EveryChoiceIsAnotherDrawAndThePromptCountsOnce) {
  start();
  const json one = complete(), three = complete({{"n", 3}, {"temperature", 1.5}});
  ASSERT_EQ(three["choices"].size(), 3u);
  EXPECT_NE(three["choices"][0]["text"], three["choices"][1]["text"]);
  EXPECT_NE(three["choices"][1]["text"], three["choices"][2]["text"]);
  EXPECT_EQ(three["usage"]["prompt_tokens"], one["usage"]["prompt_tokens"]);
  std::map<int, std::string> texts;
  for (const json& event :
       events_of(call("POST", "/v1/completions", text_body({{"n", 3}, {"temperature", 1.5}, {"stream", true}})).body))
    for (const json& choice : event["choices"]) texts[choice["index"]] += choice["text"].get<std::string>();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(texts[i], three["choices"][i]["text"]);
}

TEST_F(CompletionsTest, ABiasOf100MakesAlwaysAndMinus100Never) {
  start();
  const TokenId x = tokens_of("x").at(0);
  const json always = complete({{"logit_bias", {{std::to_string(x), 100}}}});
  EXPECT_EQ(always["choices"][0]["text"], "xxxxxxxx");
  const json unbiased = complete({{"temperature", 0}, {"logprobs", 0}});
  const std::string first = unbiased["choices"][0]["logprobs"]["tokens"][0];
  const std::vector<TokenId> banned = tokens_of(first);
  ASSERT_EQ(banned.size(), 1u);
  const json never =
      complete({{"temperature", 0}, {"logprobs", 0}, {"logit_bias", {{std::to_string(banned[0]), -100}}}});
  for (const json& token : never["choices"][0]["logprobs"]["tokens"]) EXPECT_NE(token, first);
  EXPECT_EQ(error_of("/v1/completions", text_body({{"logit_bias", {{"99999", 1}}}}))["param"], "logit_bias");
}

TEST_F(CompletionsTest, AnswersUnderASchemaAreValidAtAnyTemperature) {
  start();
  for (int seed = 0; seed < 4; ++seed) {
    const json answer = chat(
        {{"response_format", person_format()}, {"temperature", 1.5}, {"n", 8}, {"seed", seed}, {"max_tokens", 80}});
    for (const json& choice : answer["choices"]) {
      EXPECT_EQ(choice["finish_reason"], "stop");
      expect_person(choice["message"]["content"]);
    }
  }
  const json object = chat({{"response_format", {{"type", "json_object"}}}, {"max_tokens", 40}});
  EXPECT_TRUE(json::parse(object["choices"][0]["message"]["content"].get<std::string>()).is_object());
  const json letters = complete({{"grammar", "root ::= [ab]+ \".\""}, {"temperature", 1.5}, {"max_tokens", 12}});
  EXPECT_THAT(letters["choices"][0]["text"].get<std::string>(), testing::MatchesRegex("[ab]+\\."));
}

class FormsBesideAStream : public CompletionsTest {
 protected:
  void TearDown() override {
    client_.reset();  // so that the server has nothing to wait for
    CompletionsTest::TearDown();
  }
  // A generation that goes on until its client is closed.
  void begin_stream() {
    context_ = 1 << 16;
    start();
    client_ = std::make_unique<TestClient>(server_->port());
    const std::string body =
        text_body({{"max_tokens", 60'000}, {"n", 4}, {"ignore_eos", true}, {"stream", true}}).dump();
    client_->send(
        fmt::format("POST /v1/completions HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n"
                    "{}",
                    keys_.at("admin"), body.size(), body));
    ASSERT_TRUE(client_->receive_until("data: "));
  }
  uint64_t decoded() { return server_->platform().models.own()->stats().decoded_tokens; }
  // False when it stands still for 20 s.
  bool stream_gets(uint64_t tokens) {
    const uint64_t wanted = decoded() + tokens;
    for (int i = 0; i < 20'000 && decoded() < wanted; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return decoded() >= wanted;
  }
  std::unique_ptr<TestClient> client_;
};

TEST_F(FormsBesideAStream, AFormThatPassesTheLimitsIsRefused) {
  begin_stream();
  std::string stars = "a";
  for (int i = 0; i < 60; ++i) stars = "(" + stars + ")*";
  for (const std::string& pattern : {std::string("^((a{1,100}){1,100}){1,100}$"), std::string("^.*x.{9999}$"),
                                     std::string("^[a-z"), std::string("(?=a)b"), stars}) {
    const json format = {{"type", "json_schema"},
                         {"json_schema", {{"name", "x"}, {"schema", {{"type", "string"}, {"pattern", pattern}}}}}};
    const ClientResponse response = call("POST", "/v1/chat/completions", chat_body({{"response_format", format}}));
    EXPECT_EQ(response.status, 400) << pattern << response.body;
    EXPECT_EQ(error_code(response), "invalid_schema") << pattern;
    EXPECT_TRUE(stream_gets(1)) << pattern;
  }
}

// After a beginning that can be any of 2^20, more than are followed before the answer begins, come 2^12 ways to read
// the next byte.
TEST_F(CompletionsTest, AFormThatPassesTheLimitsInTheAnswerIsNamedByItsField) {
  start();
  std::string grammar = "root ::= a0\n";
  for (int i = 0; i < 20; ++i) grammar += fmt::format("a{} ::= \"a\" a{} \"a\" | \"b\" a{} \"b\"\n", i, i + 1, i + 1);
  grammar += "a20 ::= \"c\" x0\n";
  for (int i = 0; i < 12; ++i) grammar += fmt::format("x{} ::= x{} x{}\n", i, i + 1, i + 1);
  grammar += "x12 ::= \"x\"?\n";
  const json error = error_of("/v1/completions", text_body({{"grammar", grammar}, {"max_tokens", 200}}));
  EXPECT_EQ(error["code"], "invalid_schema");
  EXPECT_EQ(error["param"], "grammar");
}

// However long a form takes: this one is not refused before the stream has had a hundred tokens.
TEST_F(FormsBesideAStream, TheStreamGetsItsTokensWhileAFormIsCompiled) {
  begin_stream();
  bool went_on = false;
  const auto slow = [&]() -> std::shared_ptr<const Grammar> {
    went_on = stream_gets(100);
    throw ConfigError("it takes too long");
  };
  Platform& platform = server_->platform();
  EXPECT_THROW(platform.constraints.get(*platform.models.own(), "slow", slow), ConfigError);
  EXPECT_TRUE(went_on);
}

// Another request's form, and a stream that obeys one, do not wait for it either.
TEST_F(FormsBesideAStream, AnotherFormIsCompiledAndObeyedWhileAFormIsCompiled) {
  begin_stream();
  std::string text;
  const auto slow = [&]() -> std::shared_ptr<const Grammar> {
    text = complete({{"grammar", "root ::= \"quark\""}})["choices"][0]["text"];
    throw ConfigError("it takes too long");
  };
  Platform& platform = server_->platform();
  EXPECT_THROW(platform.constraints.get(*platform.models.own(), "slow", slow), ConfigError);
  EXPECT_EQ(text, "quark");
}

json weather_tool() {
  return {{"type", "function"},
          {"function",
           {{"name", "get_weather"},
            {"description", "The weather of a place"},
            {"parameters",
             {{"type", "object"},
              {"properties", {{"days", {{"type", "integer"}, {"minimum", 1}, {"maximum", 7}}}}},
              {"required", {"days"}},
              {"additionalProperties", false}}}}}};
}

TEST_F(CompletionsTest, ARequiredToolIsCalledWithArgumentsOfItsSchema) {
  start();
  json more = {{"tools", json::array({weather_tool()})}, {"tool_choice", "required"}, {"max_tokens", 90}, {"seed", 4}};
  const json choice = chat(more)["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_TRUE(choice["message"]["content"].is_null());
  const json tool_call = choice["message"]["tool_calls"][0];
  EXPECT_EQ(tool_call["function"]["name"], "get_weather");
  const json arguments = json::parse(tool_call["function"]["arguments"].get<std::string>());
  EXPECT_TRUE(arguments["days"] >= 1 && arguments["days"] <= 7) << arguments;

  more["stream"] = true;
  std::string name, streamed, reason;
  for (const json& event : events_of(call("POST", "/v1/chat/completions", chat_body(more)).body)) {
    for (const json& part : event["choices"][0]["delta"].value("tool_calls", json::array())) {
      name += part["function"].value("name", "");
      streamed += part["function"].value("arguments", "");
    }
    if (event["choices"][0]["finish_reason"].is_string()) reason = event["choices"][0]["finish_reason"];
  }
  EXPECT_EQ(name, "get_weather");
  EXPECT_EQ(streamed, tool_call["function"]["arguments"]);
  EXPECT_EQ(reason, "tool_calls");

  more["tool_choice"] = {{"type", "function"}, {"function", {{"name", "get_weather"}}}};
  EXPECT_EQ(events_of(call("POST", "/v1/chat/completions", chat_body(more)).body).back()["choices"][0]["finish_reason"],
            "stop");
  more["stream"] = false;
  const json named = chat(more)["choices"][0];
  EXPECT_EQ(named["finish_reason"], "stop");
  EXPECT_EQ(named["message"]["tool_calls"][0]["function"], tool_call["function"]);

  json messages = chat_body()["messages"];
  messages.push_back(choice["message"]);
  messages.push_back({{"role", "tool"}, {"tool_call_id", tool_call["id"]}, {"content", "sunny"}});
  const json next = chat({{"messages", messages}, {"tools", more["tools"]}, {"tool_choice", "none"}});
  EXPECT_TRUE(next["choices"][0]["message"]["content"].is_string());
}

TEST_F(CompletionsTest, ACallCutOffBeforeItsArgumentsIsTextInAStreamToo) {
  start();
  json body = chat_body({{"tools", json::array({weather_tool()})}, {"tool_choice", "required"}, {"seed", 4}});
  for (const int most : {1, 4, 24}) {
    body.update({{"max_tokens", most}, {"stream", false}});
    const json choice = ok("POST", "/v1/chat/completions", body)["choices"][0];
    EXPECT_EQ(choice["finish_reason"], "length");
    ASSERT_TRUE(choice["message"]["content"].is_string()) << choice;
    body["stream"] = true;
    EXPECT_EQ(content_of(events_of(call("POST", "/v1/chat/completions", body).body)), choice["message"]["content"]);
  }
}

// The model's first special token becomes Mistral's mark of a call.
void give_tool_calls_token(const fs::path& model) {
  std::string text = read_file(model / "tokenizer.json");
  for (size_t at = text.find(kPadToken); at != std::string::npos; at = text.find(kPadToken, at))
    text.replace(at, std::string_view(kPadToken).size(), "[TOOL_CALLS]");
  write_file_atomic(model / "tokenizer.json", text);
}

TEST_F(CompletionsTest, ACallIsReadInTheFormOfTheModelsTemplate) {
  const struct {
    const char *jinja, *asked;
  } cases[] = {
      {"<|start_header_id|><|end_header_id|><|eot_id|> Environment: ipython Given the following functions",
       "\"parameters\": "},
      {R"(<|im_start|><|im_end|>"\n\n# Tools\n\nYou may call one or more functions"<tool_response>)", "<tools>"},
      {"[INST][/INST][AVAILABLE_TOOLS][TOOL_CALLS][TOOL_RESULTS]", "[AVAILABLE_TOOLS]"}};
  start();
  const fs::path model = root_ / "workspace/models/own";
  give_tool_calls_token(model);
  for (const auto& c : cases) {
    write_file_atomic(model / "chat_template.jinja", c.jinja);
    restart({});
    Engine& engine = *server_->platform().models.own();
    const std::string prompt = engine.tokenizer().decode(engine.tool_prompt({{"user", "hi"}}, {weather_tool().dump()}));
    EXPECT_THAT(prompt, testing::HasSubstr(c.asked));
    // Where the form begins with a special token, that one is drawn.
    const json more = {{"tools", json::array({weather_tool()})},
                       {"tool_choice", "required"},
                       {"max_tokens", 90},
                       {"seed", 4},
                       {"logit_bias", {{"0", 100}}}};
    const json choice = chat(more)["choices"][0];
    ASSERT_EQ(choice["finish_reason"], "tool_calls") << c.jinja << choice;
    const json call = choice["message"]["tool_calls"][0]["function"];
    EXPECT_EQ(call["name"], "get_weather");
    const json arguments = json::parse(call["arguments"].get<std::string>());
    EXPECT_TRUE(arguments["days"] >= 1 && arguments["days"] <= 7) << arguments;
    json messages = chat_body()["messages"];
    messages.push_back(choice["message"]);
    messages.push_back(
        {{"role", "tool"}, {"tool_call_id", choice["message"]["tool_calls"][0]["id"]}, {"content", "sunny"}});
    EXPECT_EQ(chat({{"messages", messages}})["object"], "chat.completion");
  }
}

TEST_F(CompletionsTest, OffsetsOfATextCountCharacters) {
  start();
  const json scores =
      complete({{"prompt", "é中😀x"}, {"echo", true}, {"logprobs", 0}, {"max_tokens", 0}})["choices"][0]["logprobs"];
  const auto offsets = scores["text_offset"].get<std::vector<int>>();
  ASSERT_FALSE(offsets.empty());
  EXPECT_EQ(offsets.front(), 0);
  EXPECT_EQ(scores["tokens"].back(), "x");
  EXPECT_EQ(offsets.back(), 3) << scores["text_offset"];
}

TEST_F(CompletionsTest, UsageSaysWhatCameFromTheCache) {
  start();
  const json body = {{"prompt", std::string(100, 'q')}};
  const json first = complete(body)["usage"], second = complete(body)["usage"];
  EXPECT_EQ(first["prompt_tokens_details"]["cached_tokens"], 0);
  EXPECT_GE(second["prompt_tokens_details"]["cached_tokens"], 16) << "whole pages";
  EXPECT_LT(second["prompt_tokens_details"]["cached_tokens"], second["prompt_tokens"]);
  EXPECT_EQ(second["completion_tokens_details"]["reasoning_tokens"], 0);
}

TEST_F(CompletionsTest, ASeedRepeatsAndAnotherDoesNot) {
  start();
  const auto text = [&](int seed) { return complete({{"seed", seed}, {"temperature", 1.5}})["choices"][0]["text"]; };
  EXPECT_EQ(text(1), text(1));
  EXPECT_NE(text(1), text(2));
}

TEST_F(CompletionsTest, AStopStringAcrossTokensCutsTheTextBeforeIt) {
  start();
  ASSERT_GT(tokens_of("rk").size(), 1u);
  const json more = {{"grammar", "root ::= \"quark soup\""}, {"max_tokens", 20}, {"stop", {"zz", "rk"}}};
  const json choice = complete(more)["choices"][0];
  EXPECT_EQ(choice["text"], "qua");
  EXPECT_EQ(choice["finish_reason"], "stop");
  json streamed = text_body(more);
  streamed["stream"] = true;
  std::string text;
  for (const json& event : events_of(call("POST", "/v1/completions", streamed).body))
    for (const json& part : event["choices"]) text += part["text"].get<std::string>();
  EXPECT_EQ(text, "qua");
}

TEST_F(CompletionsTest, PenaltiesMoveTheTextToTokensThatItDoesNotHave) {
  start();
  const std::string x = std::to_string(tokens_of("x").at(0)), y = std::to_string(tokens_of("y").at(0));
  const auto text = [&](const json& more = json::object()) {
    json body = {{"temperature", 0}, {"logit_bias", {{x, 50}, {y, 48.5}}}};
    body.update(more);
    return complete(body)["choices"][0]["text"].get<std::string>();
  };
  EXPECT_EQ(text(), "xxxxxxxx");
  EXPECT_THAT(text({{"frequency_penalty", 2}}), testing::MatchesRegex("x+y[xy]*"));
  EXPECT_THAT(text({{"presence_penalty", 2}}), testing::MatchesRegex("x+y[xy]*"));
}

TEST_F(CompletionsTest, EmbeddingsOfFewerDimensionsAreTheFirstOnesAtLengthOne) {
  start();
  const auto embed = [&](const json& more = json::object()) {
    json body = {{"model", "own"}, {"input", "a laptop"}};
    body.update(more);
    return ok("POST", "/v1/embeddings", body)["data"][0]["embedding"].get<std::vector<float>>();
  };
  const std::vector<float> whole = embed(), part = embed({{"dimensions", 8}});
  ASSERT_EQ(part.size(), 8u);
  double squares = 0;
  for (size_t i = 0; i < 8; ++i) squares += static_cast<double>(whole[i]) * whole[i];
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(part[i], whole[i] / std::sqrt(squares), 1e-6);  // f32 rounding
  EXPECT_EQ(embed({{"dimensions", whole.size()}}), whole);
  for (const int wrong : {0, 33})
    EXPECT_EQ(error_of("/v1/embeddings", {{"input", "a"}, {"dimensions", wrong}})["param"], "dimensions");
}

TEST_F(CompletionsTest, AConversationMayHaveAsManyMessagesAsOpenAIs) {
  start();
  const auto code_of = [&](size_t messages) {
    const json one = {{"role", "user"}, {"content", "a"}};
    return error_of("/v1/chat/completions", {{"model", "own"}, {"messages", json(messages, one)}})["code"];
  };
  EXPECT_EQ(code_of(2048), "context_length_exceeded");  // read, and too much for this model
  EXPECT_EQ(code_of(2049), "invalid_field");
}

// OpenAI's limit; LangChain sends 512 texts in one request unless it is told otherwise.
TEST_F(CompletionsTest, EmbeddingsTakeAsManyInputsAsOpenAIs) {
  start();
  const json made = ok("POST", "/v1/embeddings", {{"model", "own"}, {"input", json(2048, "a")}, {"dimensions", 2}});
  ASSERT_EQ(made["data"].size(), 2048u);
  EXPECT_EQ(made["data"][2047]["index"], 2047);
  EXPECT_EQ(made["data"][2047]["embedding"], made["data"][0]["embedding"]);
  EXPECT_EQ(error_of("/v1/embeddings", {{"model", "own"}, {"input", json(2049, "a")}})["param"], "input");
}

TEST_F(CompletionsTest, TheFirstTokensTimeBeginsWhenTheRequestArrived) {
  start();
  Request request{.body = text_body().dump(), .key = {.name = "admin", .role = "admin"}};
  request.arrival_s = monotonic_s() - 1000;  // it waited for its turn
  EXPECT_EQ(create_completion(server_->platform(), request).status, 200);
  const std::string text = call("GET", "/metrics").body;
  EXPECT_GE(metric(text, "starling_time_to_first_token_seconds_sum{model=\"own\"} "), 1000);
  EXPECT_EQ(metric(text, "starling_time_to_first_token_seconds_count{model=\"own\"} "), 1);
  EXPECT_EQ(metric(text, "starling_time_per_output_token_seconds_count{model=\"own\"} "), 1);
  EXPECT_LT(metric(text, "starling_time_per_output_token_seconds_sum{model=\"own\"} "), 1000);
  EXPECT_EQ(metric(text, "starling_tokens_total{kind=\"completion\",model=\"own\"} "), 8);
}

TEST_F(CompletionsTest, MetricsSayHowManyPagesThereAreAndWhoHoldsThem) {
  start();
  complete({{"prompt", std::string(100, 'q')}});
  const std::string text = call("GET", "/metrics").body;
  EXPECT_GE(metric(text, "starling_kv_pages "), 2048 / 16) << "at least one context";
  EXPECT_GE(metric(text, "starling_kv_pages_used "), 1);
  EXPECT_EQ(metric(text, "starling_kv_pages_cached "), metric(text, "starling_kv_pages_used "));
  EXPECT_EQ(metric(text, "starling_engine_jobs "), 0);
}

TEST_F(CompletionsTest, WhatCannotBeHonouredIsNamed) {
  start();
  const std::vector<std::pair<json, std::string>> cases = {
      {{{"tools", {{{"type", "function"}}}}}, "tools"},
      {{{"tool_choice", "required"}}, "tool_choice"},
      {{{"tools", json::array({weather_tool()})}, {"tool_choice", "other"}}, "tool_choice"},
      {{{"functions", json::array()}}, "functions"},
      {{{"response_format", {{"type", "xml"}}}}, "response_format"},
      {{{"response_format", {{"type", "json_schema"}}}}, "response_format"},
      {{{"grammar", "root = x"}}, "grammar"},
      {{{"presence_penalty", 3}}, "presence_penalty"},
      {{{"stop", {"a", "b", "c", "d", "e"}}}, "stop"},
      {{{"stop", std::string(2000, 'x')}}, "stop"},
      {{{"modalities", {"audio"}}}, "modalities"},
      {{{"stream_options", {{"include_usage", true}}}}, "stream_options"},
      {{{"stream", true}, {"stream_options", true}}, "stream_options"},
  };
  for (const auto& [more, param] : cases)
    EXPECT_EQ(error_of("/v1/chat/completions", chat_body(more))["param"], param) << more;
  EXPECT_EQ(error_of("/v1/completions", text_body({{"suffix", "x"}}))["param"], "suffix");
  EXPECT_EQ(error_of("/v1/completions", text_body({{"prompt", {999999}}}))["param"], "prompt");
}

TEST_F(CompletionsTest, TokensOfATextGiveTheTextBackAndArePromptsToo) {
  start();
  const std::string text = "the linux laptop é中😀";
  const json tokens = ok("POST", "/tokenize", {{"model", "own"}, {"text", text}});
  EXPECT_EQ(tokens["count"], tokens["tokens"].size());
  EXPECT_EQ(tokens["max_model_len"], 2048);
  EXPECT_EQ(ok("POST", "/detokenize", {{"model", "own"}, {"tokens", tokens["tokens"]}})["text"], text);
  EXPECT_EQ(error_of("/detokenize", {{"model", "own"}, {"tokens", {-1}}})["param"], "tokens");
  const json with_begin =
      ok("POST", "/tokenize", {{"model", "own"}, {"text", text}, {"add_special_tokens", true}})["tokens"];
  EXPECT_EQ(complete({{"prompt", with_begin}})["choices"][0]["text"],
            complete({{"prompt", text}})["choices"][0]["text"]);
}

TEST_F(CompletionsTest, AScoreNeedsCandidatesThatFitTheContext) {
  start();
  EXPECT_EQ(error_of("/v1/score", {{"model", "own"}, {"prefix", "x"}, {"candidates", json::array()}})["param"],
            "candidates");
  const json error =
      error_of("/v1/score", {{"model", "own"}, {"prefix", "x"}, {"candidates", {std::string(5000, 'q')}}});
  EXPECT_EQ(error["code"], "context_length_exceeded");
}

// Where nothing opens a text, a candidate that changes the prefix's first token is read behind a begin token.
TEST_F(CompletionsTest, ACandidateThatFillsTheContextIs400WhereABeginTokenIsReadBeforeIt) {
  start();
  const fs::path tokenizer = root_ / "workspace/models/own/tokenizer.json";
  std::string text = read_file(tokenizer);
  for (size_t at = text.find(kBeginToken); at != std::string::npos; at = text.find(kBeginToken, at))
    text.replace(at, std::string_view(kBeginToken).size(), "<|other|>");
  write_file_atomic(tokenizer, text);
  restart({});
  ASSERT_EQ(ok("POST", "/tokenize", {{"model", "own"}, {"text", "post"}})["count"], 1);
  const auto status = [&](size_t tokens) {
    const std::string candidate = "ost" + std::string(tokens - 1, 'q');
    return call("POST", "/v1/score", {{"model", "own"}, {"prefix", "p"}, {"candidates", {candidate}}}).status;
  };
  EXPECT_EQ(status(2047), 200);
  EXPECT_EQ(status(2048), 400);
}

TEST_F(CompletionsTest, AKeyThatHasUsedItsTokensIs429UntilTomorrowEvenAfterARestart) {
  start({"server.tokens_per_day=40"});
  complete({{"max_tokens", 30}, {"ignore_eos", true}});
  const ClientResponse spent = call("POST", "/v1/completions", text_body());
  EXPECT_EQ(spent.status, 429);
  EXPECT_EQ(error_code(spent), "insufficient_quota");
  const int wait_s = std::stoi(spent.headers.at("retry-after"));
  EXPECT_TRUE(wait_s > 0 && wait_s <= 86'400) << wait_s;
  EXPECT_EQ(call("GET", "/v1/models").status, 200);
  EXPECT_EQ(call("POST", "/v1/completions", text_body(), "search").status, 200);  // another key's tokens
  const std::map<std::string, std::string> keys = keys_;
  restart({"server.tokens_per_day=40"});
  EXPECT_EQ(fetch(server_->port(), "POST", "/v1/completions", keys.at("admin"), text_body().dump()).status, 429);
}

TEST_F(CompletionsTest, AClientThatLeavesEndsItsGenerationAndIsCounted) {
  start();
  {
    TestClient client(server_->port());
    const std::string body =
        text_body({{"max_tokens", 1900}, {"n", 16}, {"ignore_eos", true}, {"stream", true}}).dump();
    client.send(
        fmt::format("POST /v1/completions HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {}\r\n"
                    "Content-Length: {}\r\n\r\n{}",
                    keys_.at("admin"), body.size(), body));
    ASSERT_TRUE(client.receive_until("data: "));
  }
  const auto is_counted = [&] {
    return call("GET", "/metrics").body.find("starling_generations_cancelled_total{model=\"own\"} ") !=
           std::string::npos;
  };
  for (int i = 0; i < 400 && !is_counted(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(is_counted());
}

}  // namespace
}  // namespace starling

#include "infer/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "core/stop.h"
#include "infer/decoder.h"
#include "infer/grammar_constraint.h"
#include "infer/json_schema.h"
#include "infer/test_model.h"

namespace starling {
namespace {

struct EngineTest : testing::Test {
  static void SetUpTestSuite() {
    model = new TestModel;
    engine = Engine::load(model->folder()).release();
  }
  static void TearDownTestSuite() {
    delete engine;
    delete model;
  }
  static TestModel* model;
  static Engine* engine;
};
TestModel* EngineTest::model = nullptr;
Engine* EngineTest::engine = nullptr;

const SamplingOptions kSampled{.max_tokens = 40, .temperature = 1.0f, .seed = 3};

TEST_F(EngineTest, TheSameSeedGivesTheSameTextAndAnotherAnother) {
  SamplingOptions other = kSampled;
  other.seed = 4;
  const Generation first = engine->complete("the quick", kSampled);
  EXPECT_EQ(first.text, engine->complete("the quick", kSampled).text);
  EXPECT_NE(first.text, engine->complete("the quick", other).text);
  EXPECT_GT(first.prompt_tokens, 1);
  EXPECT_EQ(first.completion_tokens, 40);
  EXPECT_EQ(first.finish, FinishReason::length);
}

TEST_F(EngineTest, StreamedPiecesAreTheText) {
  std::string streamed;
  const Generation g = engine->complete("the lazy", kSampled, [&](std::string_view piece) {
    streamed += piece;
    return true;
  });
  EXPECT_EQ(streamed, g.text);
  EXPECT_FALSE(g.text.empty());
}

TEST_F(EngineTest, AStopStringEndsTheTextBeforeIt) {
  const std::string whole = engine->complete("the quick", kSampled).text;
  SamplingOptions options = kSampled;
  options.stop = {whole.substr(whole.size() / 2, 5)};
  const Generation g = engine->complete("the quick", options);
  EXPECT_EQ(g.text, whole.substr(0, whole.find(options.stop[0])));
  EXPECT_EQ(g.finish, FinishReason::stop);
}

TEST_F(EngineTest, AFalseFromTheCallbackCancels) {
  int calls_after_no = -1;  // the engine may run ahead of the caller, so tokens are not counted here
  const Generation g = engine->complete("the quick", kSampled, [&](std::string_view) { return ++calls_after_no < 0; });
  EXPECT_EQ(g.finish, FinishReason::cancelled);
  EXPECT_EQ(calls_after_no, 0) << "a callback that said no was called again";
}

TEST_F(EngineTest, AnExceptionOfTheCallbackReachesTheCallerAndTheEngineGoesOn) {
  const std::string expected = engine->complete("the dog", kSampled).text;
  EXPECT_THROW(
      engine->complete("the quick", kSampled, [](std::string_view) -> bool { throw DataError("client left"); }),
      DataError);
  EXPECT_EQ(engine->complete("the dog", kSampled).text, expected);
}

TEST_F(EngineTest, ThreadsGetWhatTheyWouldGetAlone) {
  const std::vector<std::string> texts{"the quick brown fox", "the dog", std::string(120, 'x'), "user said"};
  std::vector<std::string> alone;
  for (const std::string& text : texts) alone.push_back(engine->complete(text, kSampled).text);
  const std::vector<float> embedding = engine->embed(texts[0]);
  const double score = engine->log_likelihood("the quick", " brown fox");

  std::vector<std::string> together(texts.size());
  std::vector<std::vector<float>> embeddings;
  double score_together = 0;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < texts.size(); ++i)
    threads.emplace_back([&, i] { together[i] = engine->complete(texts[i], kSampled).text; });
  threads.emplace_back([&] { embeddings = engine->embed_batch(std::vector<std::string>(30, texts[0])); });
  threads.emplace_back([&] { score_together = engine->log_likelihood("the quick", " brown fox"); });
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(together, alone);
  EXPECT_EQ(score_together, score);
  for (const std::vector<float>& e : embeddings) EXPECT_EQ(e, embedding);
}

struct EngineCase {
  std::string name;
  ModelConfig config = small_config();
  EngineOptions options = {};
  int prompt = 90;

  friend void PrintTo(const EngineCase& shown, std::ostream* out) { *out << shown.name; }
};

std::vector<EngineCase> engine_cases() {
  ModelConfig window = small_config(), long_context = small_config(), mixtral = small_config();
  window.type = ModelType::mistral, window.sliding_window = 37;
  long_context.max_positions = 800;
  mixtral.type = ModelType::mixtral, mixtral.num_experts = 6, mixtral.experts_per_token = 2;
  ModelConfig grok1 = mixtral;
  grok1.type = ModelType::grok1, grok1.attention_cap = 30, grok1.embedding_scale = 8, grok1.logit_scale = 0.6f;
  return {{"Llama"},
          {"Bf16", small_config(), {.weights = WeightForm::bf16}},
          {"Int4", small_config(), {.weights = WeightForm::int4}},
          {"CacheInt8", small_config(), {.cache = CacheForm::int8}},
          {"Window", window},
          {"WindowCacheInt8", window, {.cache = CacheForm::int8}},
          {"PromptOfTwoSteps", long_context, {}, 700},
          {"Mixtral", mixtral},
          {"Grok1", grok1}};
}

class BitIdentity : public testing::TestWithParam<EngineCase> {};

TEST_P(BitIdentity, TextAndLogprobsAreTheSameBitsHoweverTheyAreMade) {
  const TestModel model(GetParam().config);
  const auto load = [&](int64_t cache_tokens = 0) {
    EngineOptions options = GetParam().options;
    options.cache_tokens = cache_tokens;
    return Engine::load(model.folder(), options);
  };
  SamplingOptions options{.max_tokens = 40, .logprobs = 4};
  const std::vector<SpecialToken> specials = load()->tokenizer().special_tokens();
  for (const SpecialToken& special : specials)
    options.logit_bias.push_back({special.id, -std::numeric_limits<float>::infinity()});
  const auto bits = [](const Generation& g) {
    std::vector<std::pair<TokenId, uint32_t>> all;
    for (const ScoredToken& token : g.tokens) {
      all.emplace_back(token.token, std::bit_cast<uint32_t>(token.logprob));
      for (const TokenLogprob& top : token.top) all.emplace_back(top.token, std::bit_cast<uint32_t>(top.logprob));
    }
    return all;
  };
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const auto prompt_of = [&](uint64_t stream, int size) {
      std::vector<TokenId> prompt;
      for (int i = 0; i < size; ++i) prompt.push_back(static_cast<TokenId>(random_u64(seed, stream, i) % 290));
      return prompt;
    };
    options.seed = seed;
    options.temperature = seed < 3 ? 0.0f : 1.0f;  // the draws of one seed too
    const GenerationRequest request{prompt_of(0, GetParam().prompt), options};
    SamplingOptions plain = options;
    plain.service.speculate = false;
    const auto cold_engine = load();
    const auto expected = bits(cold_engine->generate(request.prompt, plain));
    ASSERT_EQ(expected.size(), 40u * 5);
    const auto check = [&](const Generation& g, const char* how) {
      EXPECT_EQ(bits(g), expected) << how << ", seed " << seed;
    };
    const Generation cached = cold_engine->generate(request.prompt, plain);
    EXPECT_EQ(cached.cached_tokens, (GetParam().prompt - 1) / 16 * 16);  // whole pages
    check(cached, "cached");
    check(cold_engine->generate(request.prompt, options), "cached, with guesses");
    check(load()->generate(request.prompt, options), "cold, with guesses");
    // Among 15 others, with room for all, and one after another with room for one context.
    for (const int64_t room : {int64_t{0}, GetParam().config.max_positions}) {
      const auto shared = load(room);
      std::vector<GenerationRequest> requests;
      for (uint64_t i = 0; i < 16; ++i)
        requests.push_back(i == 7 ? request : GenerationRequest{prompt_of(i, 20 + static_cast<int>(6 * i)), options});
      std::vector<Generation> made(16);
      std::vector<std::thread> threads;
      for (size_t i = 0; i < 16; ++i)
        threads.emplace_back([&, i] { made[i] = shared->generate(requests[i].prompt, requests[i].options); });
      for (std::thread& thread : threads) thread.join();
      check(made[7], room == 0 ? "among others" : "in turn with others");
      EXPECT_EQ(shared->stats().pages_used, shared->stats().pages_cached);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, BitIdentity, testing::ValuesIn(engine_cases()),
                         [](const auto& info) { return info.param.name; });

TEST_F(EngineTest, LogprobsSumToTheLogLikelihoodAndGreedyTakesTheFirstOfTheTop) {
  const Generation g = engine->complete("the quick", {.max_tokens = 12, .temperature = 0, .logprobs = 3});
  ASSERT_FALSE(g.tokens.empty());
  for (const ScoredToken& token : g.tokens) {
    ASSERT_EQ(token.top.size(), 3u);
    EXPECT_EQ(token.top[0].token, token.token);
    EXPECT_EQ(token.top[0].logprob, token.logprob);
    EXPECT_GE(token.top[0].logprob, token.top[1].logprob);
  }
  // The same numbers when the text is read instead of written.
  std::vector<TokenId> all = engine->tokenizer().encode("the quick");
  all.insert(all.begin(), static_cast<TokenId>(engine->config().bos_token));
  const size_t prompt = all.size();
  for (const ScoredToken& token : g.tokens) all.push_back(token.token);
  const Generation read = engine->generate(all, {.max_tokens = 0, .logprobs = 0, .prompt_logprobs = true});
  ASSERT_EQ(read.scored_prompt.size(), all.size());
  EXPECT_TRUE(std::isnan(read.scored_prompt[0].logprob));
  for (size_t i = 0; i < g.tokens.size(); ++i) EXPECT_EQ(read.scored_prompt[prompt + i].logprob, g.tokens[i].logprob);
}

TEST_F(EngineTest, StreamedTokensAreThoseOfTheResultAndAStopStringsAreLeftOut) {
  SamplingOptions options = kSampled;
  options.logprobs = 0;
  std::vector<TokenId> streamed;
  const Generation g = engine->complete("the lazy", options, [&](const TextPiece& piece) {
    for (const ScoredToken& token : piece.tokens) streamed.push_back(token.token);
    return true;
  });
  std::vector<TokenId> whole;
  for (const ScoredToken& token : g.tokens) whole.push_back(token.token);
  whole.resize(streamed.size());  // an end that is no text is told to nobody
  EXPECT_EQ(streamed, whole);
  EXPECT_GE(streamed.size() + 3, g.tokens.size());
  options.stop = {g.text.substr(g.text.size() / 2, 4)};
  const Generation stopped = engine->complete("the lazy", options);
  EXPECT_LT(stopped.tokens.size(), g.tokens.size());
}

// A bad byte becomes three, U+FFFD; the end of "zzq" may be held back while the text before it is told.
TEST_F(EngineTest, NoTokenOfAStopStringIsToldAfterBadBytesOrAHeldEnd) {
  const auto trie = std::make_shared<TokenTrie>(engine->tokenizer());
  for (const auto& [bytes, stop, left] : {std::tuple{"\xff\xffzq!", "zq!", "\xff\xff"}, {"zzq", "zq", "z"}}) {
    auto grammar = std::make_shared<Grammar>();
    const Grammar::Rule root = grammar->declare_rule();
    const Grammar::Node start = grammar->add_node();
    grammar->define_rule(root, start, grammar->literal(start, bytes));
    grammar->finish(root);
    const SamplingOptions options{.max_tokens = 10,
                                  .stop = {stop},
                                  .logprobs = 0,
                                  .constraint = std::make_shared<GrammarConstraint>(grammar, trie)};
    std::string streamed, whole;
    const Generation g = engine->complete("the lazy", options, [&](const TextPiece& piece) {
      for (const ScoredToken& token : piece.tokens) streamed += engine->tokenizer().token_bytes(token.token);
      return true;
    });
    for (const ScoredToken& token : g.tokens) whole += engine->tokenizer().token_bytes(token.token);
    EXPECT_EQ(whole, left);
    EXPECT_EQ(streamed, left);
  }
}

TEST_F(EngineTest, RequestsOfOneJobGetWhatTheyWouldGetAlone) {
  std::vector<GenerationRequest> requests;
  std::vector<std::string> alone;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    requests.push_back({engine->tokenizer().encode("the quick"), kSampled});
    requests.back().options.seed = seed;
    alone.push_back(engine->generate(requests.back().prompt, requests.back().options).text);
  }
  std::vector<std::string> streamed(5), together;
  for (const Generation& g : engine->generate_all(requests, [&](size_t i, const TextPiece&piece) {
         streamed[i] += piece.text;
         return true;
       }))
    together.push_back(g.text);
  EXPECT_EQ(together, alone);
  EXPECT_EQ(streamed, alone);
}

TEST_F(EngineTest, AtAHighTemperatureEveryTextIsWholeUnderASchema) {
  const auto trie = std::make_shared<TokenTrie>(engine->tokenizer());
  const auto schema = nlohmann::ordered_json::parse(
      R"({"type":"object","properties":{"title":{"type":"string"},"tags":{"type":"array","items":{"type":"string"}},"score":{"type":"integer","minimum":1,"maximum":5}},"required":["title","tags","score"],"additionalProperties":false})");
  const auto constraint = std::make_shared<GrammarConstraint>(json_schema_grammar(schema), trie);
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const SamplingOptions options{.max_tokens = 70, .temperature = 1.5f, .seed = seed, .constraint = constraint};
    const Generation g = engine->complete("the", options);
    const auto value = nlohmann::json::parse(g.text, nullptr, false);
    ASSERT_TRUE(value.is_object()) << seed << ": " << g.text;
    EXPECT_TRUE(value["title"].is_string() && value["tags"].is_array()) << g.text;
    EXPECT_TRUE(value["score"] >= 1 && value["score"] <= 5) << g.text;
    EXPECT_EQ(g.finish, FinishReason::stop);
  }
}

TEST_F(EngineTest, AConstraintThatPassesItsLimitsEndsItsGenerationAlone) {
  const auto trie = std::make_shared<TokenTrie>(engine->tokenizer());
  auto grammar = std::make_shared<Grammar>();  // 3,000 ways to read the first byte
  const Grammar::Rule root = grammar->declare_rule();
  const Grammar::Node start = grammar->add_node(), end = grammar->add_node();
  for (int i = 0; i < 3000; ++i) grammar->add_bytes(start, 0, 255, grammar->literal(grammar->add_node(), ""));
  for (Grammar::Node node = 2; node < grammar->node_count(); ++node) grammar->add_bytes(node, 0, 255, end);
  grammar->define_rule(root, start, end);
  grammar->finish(root);
  const auto constraint = std::make_shared<GrammarConstraint>(grammar, trie);
  const std::string expected = engine->complete("the dog", kSampled).text;
  std::string beside;
  std::thread other([&] { beside = engine->complete("the dog", kSampled).text; });
  SamplingOptions options = kSampled;
  options.constraint = constraint;
  EXPECT_THROW(engine->complete("the quick", options), ConfigError);
  other.join();
  EXPECT_EQ(beside, expected);
}

TEST_F(EngineTest, EmbeddingsHaveLengthOneAndDifferByText) {
  const auto embeddings = engine->embed_batch({"the quick brown fox", "the lazy dog", "", std::string(5000, 'a')});
  ASSERT_EQ(embeddings.size(), 4u);
  for (const std::vector<float>& e : embeddings) {
    ASSERT_EQ(e.size(), 64u);
    double squares = 0;
    for (float value : e) squares += static_cast<double>(value) * value;
    EXPECT_NEAR(squares, 1.0, 1e-5);  // f32 rounding of 64 values
  }
  EXPECT_NE(embeddings[0], embeddings[1]);
  EXPECT_TRUE(engine->embed_batch({}).empty());
}

TEST_F(EngineTest, WhatIsCancelledBeforeItsFirstTextReadsNothingAndSaysSo) {
  const Service service{.cancelled = std::make_shared<std::atomic<bool>>(true)};
  const std::vector<TokenId> prompt(100, 7);
  const uint64_t before = engine->stats().prompt_tokens;
  SamplingOptions options = kSampled;
  options.service = service;
  EXPECT_EQ(engine->generate(prompt, options).finish, FinishReason::cancelled);
  options.max_tokens = 0, options.logprobs = 0, options.prompt_logprobs = true;
  EXPECT_EQ(engine->generate(prompt, options).finish, FinishReason::cancelled) << "a text that is only scored";
  EXPECT_TRUE(engine->embed_tokens({prompt}, service).empty());
  EXPECT_TRUE(engine->log_likelihoods("the quick", {" brown", " fox"}, service).empty());
  EXPECT_EQ(engine->stats().prompt_tokens, before);
}

TEST_F(EngineTest, LogLikelihoodsOfPartsAddUp) {
  const double both = engine->log_likelihood("the", " quick brown"), first = engine->log_likelihood("the", " quick"),
               second = engine->log_likelihood("the quick", " brown");
  EXPECT_LT(first, 0);
  EXPECT_NEAR(both, first + second, 1e-9);  // the same tokens: only the order of the sum differs
}

// The model of the other tests with a vocabulary that opens no text, a marker token and a template.
std::unique_ptr<Engine> unopened_engine(const TestModel& model) {
  const std::filesystem::path path = model.folder() / "tokenizer.json";
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(read_file(path));
  json["post_processor"] = {{"type", "ByteLevel"}};
  const auto size = static_cast<int>(json["model"]["vocab"].size());
  json["added_tokens"].push_back({{"id", size}, {"content", "<tool_call>"}, {"special", false}});
  json["added_tokens"].push_back({{"id", size + 1}, {"content", "<|im_end|>"}, {"special", false}});
  json["added_tokens"].push_back({{"id", size + 2}, {"content", "<|im_start|>"}, {"special", true}});
  write_file_atomic(path, json.dump());
  write_file_atomic(model.folder() / "tokenizer_config.json", R"({"chat_template": "<|im_start|><|im_end|>"})");
  return Engine::load(model.folder());
}

TEST_F(EngineTest, ATextIsOpenedAsItsTokenizerSays) {
  const TestModel other;
  const auto unopened = unopened_engine(other);
  std::vector<TokenId> ids = unopened->tokenizer().encode("the quick");
  EXPECT_EQ(unopened->text_tokens("the quick"), ids);
  EXPECT_EQ(unopened->text_tokens(""), std::vector<TokenId>{1}) << "something has to be read";
  EXPECT_EQ(unopened->complete("the quick", kSampled).prompt_tokens, static_cast<int>(ids.size()));
  EXPECT_EQ(unopened->chat_prompt({{"user", "hi"}}).front(), unopened->tokenizer().special_id("<|im_start|>"));
  EXPECT_EQ(unopened->embed("the quick"), unopened->embed_tokens({ids}, {}).front());
  ids.insert(ids.begin(), 1);
  EXPECT_EQ(engine->text_tokens("the quick"), ids);
  // Every token of a candidate counts, the first too.
  EXPECT_EQ(unopened->log_likelihood("", "the quick"), engine->log_likelihood("", "the quick"));
  EXPECT_NE(unopened->log_likelihood("the", " quick"), engine->log_likelihood("the", " quick"));
}

TEST_F(EngineTest, AMarkerIsTextAndTheTemplatesEndOfATurnEndsAnAnswerWhateverItsKind) {
  const TestModel other;
  const auto unopened = unopened_engine(other);
  const auto size = static_cast<TokenId>(unopened->tokenizer().vocab_size());
  const auto forced = [&](TokenId token) {
    return unopened->complete("the", {.max_tokens = 3, .temperature = 0, .logit_bias = {{token, 1000}}});
  };
  const Generation marker = forced(size - 3), end = forced(size - 2);
  EXPECT_EQ(marker.text, "<tool_call><tool_call><tool_call>");
  EXPECT_EQ(marker.finish, FinishReason::length);
  EXPECT_EQ(end.text, "");
  EXPECT_EQ(end.finish, FinishReason::stop);
  EXPECT_EQ(end.completion_tokens, 1);
}

TEST_F(EngineTest, APromptThatFillsTheContextIsAnErrorThatSaysSo) {
  const std::string text(2000, 'x');
  try {
    engine->complete(text, kSampled);
    ADD_FAILURE();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("context of 160"));
  }
  EXPECT_THROW(engine->generate({}, kSampled), DataError);
  EXPECT_THROW(engine->generate({300}, kSampled), DataError);
  EXPECT_THROW(engine->generate({-1}, kSampled), DataError);
}

TEST_F(EngineTest, GenerationEndsWhereTheContextDoes) {
  SamplingOptions options = kSampled;
  options.max_tokens = 1000;
  const Generation g = engine->generate(std::vector<TokenId>(150, 5), options);
  EXPECT_LE(g.completion_tokens, 10);
}

TEST_F(EngineTest, HiddenStatesDoNotDependOnHowThePromptWasCut) {
  Decoder decoder(small_config(),
                  load_weights(*open_weights(model->folder(), small_config()), small_config(), WeightForm::int8));
  KvPagePool pages(small_config());
  std::vector<TokenId> tokens;
  for (int i = 0; i < 100; ++i) tokens.push_back(i * 7 % 290);
  KvCache whole(pages);
  const BatchSpan one{&whole, tokens};
  const std::span<const float> all = decoder.forward({&one, 1});
  const std::vector<float> expected(all.end() - 64, all.end());
  for (size_t cut : {1u, 63u, 64u, 99u}) {
    KvCache cache(pages), other(pages);
    const BatchSpan parts[] = {{&cache, std::span(tokens).first(cut)}, {&other, std::span(tokens).first(17)}};
    decoder.forward(parts);
    const BatchSpan rest{&cache, std::span(tokens).subspan(cut)};
    const std::span<const float> hidden = decoder.forward({&rest, 1});
    EXPECT_EQ(std::vector<float>(hidden.end() - 64, hidden.end()), expected) << cut;
  }
}

TEST(EngineLoad, NamesThePartThatIsMissingOrDamaged) {
  const auto error_of = [](const std::filesystem::path& folder) -> std::string {
    try {
      Engine::load(folder);
      return "loaded";
    } catch (const Error& error) {
      return error.what();
    }
  };
  EXPECT_THAT(error_of("/nonexistent/model"), testing::HasSubstr("no such model folder"));
  TestModel model;
  for (const char* part : {"config.json", "tokenizer.json", "model.safetensors"}) {
    const std::string content = read_file(model.folder() / part);
    std::filesystem::remove(model.folder() / part);
    EXPECT_THAT(error_of(model.folder()), testing::HasSubstr(part));
    write_file_atomic(model.folder() / part, content.substr(0, content.size() / 2));
    EXPECT_THAT(error_of(model.folder()), testing::HasSubstr(part));
    write_file_atomic(model.folder() / part, content);
  }
  ModelConfig wider = small_config();
  wider.num_kv_heads = 4;
  wider.save(model.folder() / "config.json");
  EXPECT_THAT(error_of(model.folder()), testing::HasSubstr("k_proj.weight has the shape [32, 64]"));
}

// In a process of its own, since a stop cannot be taken back.
TEST(EngineLoad, EndsWithAStop) {
  const TestModel model;
  const auto load = [&] {
    request_stop();
    try {
      Engine::load(model.folder());
    } catch (const Error& error) {
      std::fputs(error.what(), stderr);
    }
    std::_Exit(0);
  };
  EXPECT_EXIT(load(), testing::ExitedWithCode(0), "stopped while the model was being loaded");
}

}  // namespace
}  // namespace starling

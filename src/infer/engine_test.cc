#include "infer/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "infer/decoder.h"
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

constexpr SamplingOptions kSampled{.max_tokens = 40, .temperature = 1.0f, .seed = 3};

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

TEST_F(EngineTest, LogLikelihoodsOfPartsAddUp) {
  const double both = engine->log_likelihood("the", " quick brown"), first = engine->log_likelihood("the", " quick"),
               second = engine->log_likelihood("the quick", " brown");
  EXPECT_LT(first, 0);
  EXPECT_NEAR(both, first + second, 1e-9);  // the same tokens: only the order of the sum differs
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

}  // namespace
}  // namespace starling

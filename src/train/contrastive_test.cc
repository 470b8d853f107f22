#include "train/contrastive.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "model/model_folder.h"
#include "model/transformer.h"
#include "tokenizer/tokenizer.h"
#include "train/lineage.h"
#include "train/trainer.h"
#include "train/trainer_fixture.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

TEST_F(TrainerTest, TuningBringsTheTextsOfAPairTogether) {
  train(workspace_, small_config({"train.steps=20", "train.checkpoint_interval=1000"}), {});
  std::vector<RelatedTexts> pairs;
  for (uint64_t i = 0; i < 160; ++i) {
    const std::string sentence = kSentences[i % std::size(kSentences)];
    pairs.push_back({sentence.substr(0, 30), sentence.substr(25), i % std::size(kSentences)});
  }
  const EmbeddingTuneResult result = tune_embeddings(workspace_.model("own"), workspace_.model("own-embed"), pairs,
                                                     {.seconds = 30, .epochs = 10, .batch_pairs = 8});
  EXPECT_LT(result.last_loss, 0.9 * result.first_loss);
  EXPECT_EQ(checkpoints_that_saw(workspace_, "post", "nobody"), std::vector<std::string>{});

  // A Llama without blocks, whose embedding of a text is the sum of its tokens' rows: their order does not matter.
  const ModelConfig config = ModelConfig::load(workspace_.model("own-embed") / "config.json");
  EXPECT_EQ(config.num_layers, 0);
  EXPECT_THROW(Transformer(config, DType::f32, 8), ConfigError);
  Parameters parameters(config, DType::f32);
  load_parameters(parameters, workspace_.model("own-embed") / "model.safetensors");
  const float* begin_row = parameters.value(0).as<float>() + config.bos_token * config.hidden_size;
  EXPECT_TRUE(std::all_of(begin_row, begin_row + config.hidden_size, [](float value) { return value == 0; }));
}

// A vocabulary in SentencePiece's style puts a space of its own before a text, not before each of its words.
TEST_F(TrainerTest, TuningReadsTheWordsOfATextAsTheTextHasThem) {
  std::vector<std::string> pieces = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {PieceType::unknown, PieceType::control, PieceType::control};
  for (int byte = 0; byte < 256; ++byte)
    pieces.push_back(fmt::format("<0x{:02X}>", byte)), types.push_back(PieceType::byte);
  for (const char* piece : {"▁", "a", "b", "▁a", "▁b"}) pieces.push_back(piece), types.push_back(PieceType::normal);
  std::vector<float> scores(pieces.size());
  for (size_t i = 0; i < scores.size(); ++i) scores[i] = static_cast<float>(i);
  const fs::path folder = workspace_.model("pieces");
  fs::create_directories(folder);
  make_sentencepiece_bpe(pieces, scores, types)->save(folder / "tokenizer.json");
  ModelConfig config;
  config.vocab_size = static_cast<int64_t>(pieces.size());
  config.hidden_size = 16, config.intermediate_size = 32, config.num_layers = 1;
  config.num_heads = config.num_kv_heads = 2, config.max_positions = 16;
  config.save(folder / "config.json");
  Parameters parameters(config, DType::f32);
  parameters.initialize(1);
  save_parameters(parameters, folder / "model.safetensors");
  const std::vector<RelatedTexts> pairs(4, {"a b", "b a", 0});
  tune_embeddings(folder, workspace_.model("tuned"), pairs, {.epochs = 0});

  Parameters tuned(ModelConfig::load(workspace_.model("tuned") / "config.json"), DType::f32);
  load_parameters(tuned, workspace_.model("tuned") / "model.safetensors");
  const float* lone_space = tuned.value(0).as<float>() + 259 * config.hidden_size;
  const float square = std::inner_product(lone_space, lone_space + config.hidden_size, lone_space, 0.0f);
  EXPECT_NEAR(square, 1, 1e-5) << "the weight of a token that no text holds";
}

TEST_F(TrainerTest, TuningRefusesABeginTokenThatIsNotInTheVocabulary) {
  train(workspace_, small_config({"train.steps=1"}), {});
  const fs::path folder = workspace_.model("own");
  ModelConfig config = ModelConfig::load(folder / "config.json");
  config.bos_token = 100'000'000;
  config.save(folder / "config.json");
  const std::vector<RelatedTexts> pairs(4, {"one text of two", "another text", 0});
  EXPECT_THROW(tune_embeddings(folder, workspace_.model("own-embed"), pairs, {.seconds = 1}), DataError);
}

}  // namespace
}  // namespace starling

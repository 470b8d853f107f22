#include "train/finetune.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/random.h"
#include "core/stop.h"
#include "ops/profile.h"
#include "store/control_db.h"
#include "train/chat_records.h"
#include "train/finetuned_model.h"
#include "train/finite_differences.h"
#include "train/text_examples.h"

namespace starling {
namespace {

constexpr TokenId kBegin = 1, kEnd = 2;

ModelConfig tiny_config() {
  ModelConfig c;
  c.vocab_size = 32, c.hidden_size = 32, c.intermediate_size = 48, c.num_layers = 2;
  c.num_heads = c.num_kv_heads = 2, c.max_positions = 32;
  return c;
}

uint64_t draw(uint64_t stream, uint64_t i, uint64_t below) { return random_u64(11, stream, i) % below; }

// begin, four random letters, a mark; the answer repeats one of them and ends. The letters cannot be foretold.
std::vector<FineTuneExample> copy_task(uint64_t count, size_t repeated = 2) {
  std::vector<FineTuneExample> examples;
  for (uint64_t i = 0; i < count; ++i) {
    FineTuneExample e{{kBegin}, 2};
    for (uint64_t letter = 0; letter < 4; ++letter) e.tokens.push_back(static_cast<TokenId>(8 + draw(letter, i, 16)));
    e.tokens.insert(e.tokens.end(), {3, e.tokens[repeated], kEnd});
    examples.push_back(e);
  }
  return examples;
}

// The same prompts with either answer: chosen says 5, rejected 6.
std::vector<PreferencePair> preference_task(uint64_t count) {
  std::vector<PreferencePair> pairs;
  for (FineTuneExample chosen : copy_task(count)) {
    chosen.tokens[6] = 5;
    FineTuneExample rejected = chosen;
    rejected.tokens[6] = 6;
    pairs.push_back({chosen, rejected});
  }
  return pairs;
}

FineTuneOptions tiny_options(double rate, int64_t epochs) {
  return {.epochs = epochs, .max_length = 16, .batch_tokens = 128, .learning_rate = rate, .held_out = 0.2};
}

Transformer make_model() {
  Transformer model(tiny_config(), DType::f32, 128);
  model.parameters().initialize(4);
  return model;
}

Transformer with_adapters(const Transformer& base, DType compute) {
  Transformer model(tiny_config(), compute, 128, {.lora = LoraOptions{.rank = 8, .alpha = 16}});
  for (size_t i = 0; i < base.parameters().list().size(); ++i)
    model.parameters().assign(i, base.parameters().weight(i));
  model.lora()->initialize(5);
  return model;
}

TEST(PackExamples, OnlyAnswersAreTargetsAndExamplesDoNotSeeEachOther) {
  const FineTuneExample a{{1, 7, 8, 9, 2}, 2}, b{{1, 5, 2}, 1}, c{{1, 4, 4, 4, 2}, 1};
  const FineTuneExample* const all[] = {&a, &b, &c};
  const auto [batch, begins] = pack_examples(all, 6);
  EXPECT_EQ(batch.sequences, 2);
  EXPECT_EQ(packed_rows(all, 6), 2);
  EXPECT_EQ(begins, (std::vector<int64_t>{0, 4, 6}));
  EXPECT_EQ(batch.tokens, (std::vector<int32_t>{1, 7, 8, 9, 1, 5, 1, 4, 4, 4, 0, 0}));
  EXPECT_EQ(batch.targets, (std::vector<int32_t>{-1, -1, 9, 2, -1, 2, -1, -1, -1, 2, -1, -1}));
  EXPECT_EQ(batch.positions, (std::vector<int32_t>{0, 1, 2, 3, 0, 1, 0, 1, 2, 3, 0, 0}));
  EXPECT_EQ(batch.document_starts, (std::vector<int32_t>{0, 0, 0, 0, 4, 4, 0, 0, 0, 0, 4, 5}));
  EXPECT_THROW(pack_examples(all, 3), ShapeError);
}

// The prompts are noise of ln 16 = 2.77 nats a letter: a loss far below is that of the answers alone. Adapters then
// teach another letter to the model that has learned one, and leave its own weights as they are.
TEST(FineTune, AWholeModelLearnsToAnswerAndAdaptersToAnswerOtherwise) {
  Transformer whole = make_model();
  const FineTuneResult first = finetune(whole, copy_task(400), tiny_options(3e-3, 12));
  EXPECT_GT(first.loss_before, 2.5);
  EXPECT_LT(first.loss_after, 0.5);
  EXPECT_EQ(first.held_out, 80);
  EXPECT_EQ(first.trained_parameters, tiny_config().parameter_count());

  Transformer adapted = with_adapters(whole, DType::bf16);
  const ConstTensor weight =
      adapted.parameters().weight(adapted.parameters().index_of("model.layers.0.self_attn.q_proj.weight"));
  const std::vector<bf16> before(weight.as<bf16>(), weight.as<bf16>() + weight.elements());
  const FineTuneResult second = finetune(adapted, copy_task(400, 3), tiny_options(1e-2, 12));
  EXPECT_GT(second.loss_before, 2.0);
  EXPECT_LT(second.loss_after, 0.5);
  EXPECT_LT(second.trained_parameters, first.trained_parameters);
  for (size_t i = 0; i < before.size(); ++i) ASSERT_EQ(to_float(weight.as<bf16>()[i]), to_float(before[i]));
}

// The copy task in eight of the letters: two such tasks differ in their letters and in what they repeat, so that both
// can be known, but who learns one alone repeats the same place in the other.
std::vector<FineTuneExample> copy_task_in(TokenId first_letter, size_t repeated) {
  std::vector<FineTuneExample> examples = copy_task(400, repeated);
  for (FineTuneExample& e : examples)
    for (TokenId& token : e.tokens)
      if (token >= 8) token = first_letter + token % 8;
  return examples;
}

// A model that has learned a general task is taught another. Without replay it forgets the first; a quarter of the
// places keeps it, and costs little of the second. The measure is the loss on general examples not trained on.
TEST(FineTune, ReplayOfAGeneralSetKeepsAWholeModelAndAdaptersFromForgetting) {
  Transformer base = make_model();
  const std::vector<FineTuneExample> general = copy_task_in(8, 1);
  ASSERT_LT(finetune(base, general, tiny_options(3e-3, 12)).loss_after, 0.3);
  for (const bool lora : {false, true}) {
    FineTuneResult results[2];
    for (const bool replay : {false, true}) {
      Transformer model = lora ? with_adapters(base, DType::f32) : make_model();
      if (!lora)
        for (size_t i = 0; i < base.parameters().list().size(); ++i)
          model.parameters().assign(i, base.parameters().weight(i));
      results[replay] = finetune(model, copy_task_in(16, 3), tiny_options(lora ? 1e-2 : 3e-3, 12),
                                 {.examples = general, .share = replay ? 0.25 : 0.0});
    }
    const FineTuneResult &without = results[0], &with = results[1];
    EXPECT_LT(without.general_before, 0.3);
    EXPECT_EQ(without.replay_held_out, 80);
    EXPECT_GT(without.general_after, without.general_before + 0.5);
    EXPECT_LT(with.general_after, 0.5 * without.general_after);
    EXPECT_LT(with.loss_after, without.loss_after + 0.2);
    EXPECT_NEAR(static_cast<double>(with.steps) / static_cast<double>(without.steps), 1 / 0.75, 0.1);
    fmt::print("{}: general {:.3f} -> {:.3f} without, {:.3f} with; own {:.3f} and {:.3f}\n", lora ? "LoRA" : "whole",
               without.general_before, without.general_after, with.general_after, without.loss_after, with.loss_after);
  }
  EXPECT_THROW(finetune(base, general, tiny_options(1e-3, 1), {.examples = general, .share = 1.0}), ConfigError);
}

TEST(FineTune, AStopBeforeTheFirstStepOfPreferencesIsHeardAtOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process of its own: a stop cannot be taken back
  const auto stopped_at_once = [] {
    Transformer model = make_model();
    request_stop();
    start_profile();
    EXPECT_THROW(finetune(model, preference_task(120), tiny_options(1e-3, 1)), Error);
    _exit(stop_profile().empty() ? 0 : 1);
  };
  EXPECT_EXIT(stopped_at_once(), testing::ExitedWithCode(0), "");
}

// Before tuning every margin is 0, so that the loss is ln 2; afterwards the chosen answer is likelier on pairs that
// were not trained on.
TEST(FineTune, PreferencesRaiseTheChosenAnswerOverTheRejected) {
  Transformer whole = make_model(), adapted = with_adapters(whole, DType::f32);
  for (Transformer* model : {&whole, &adapted}) {
    FineTuneOptions options = tiny_options(model->lora() ? 1e-2 : 3e-3, 4);
    options.beta = 0.5;
    const FineTuneResult result = finetune(*model, preference_task(120), options);
    EXPECT_NEAR(result.loss_before, std::log(2.0), 1e-6);
    EXPECT_LT(result.loss_after, 0.4);
    EXPECT_GT(result.accuracy_after, 0.95);
  }
}

// The loss of one pair as a function of one weight, by differences of what score() says, against the gradient that
// training accumulates: h = 2e-3, nats of about 14 rounded to 1e-6, beta 0.5.
TEST(FineTune, TheGradientOfAWeightedSequenceLossMatchesFiniteDifferences) {
  Transformer model = make_model();
  const PreferencePair pair = preference_task(1)[0];
  const FineTuneExample* const both[] = {&pair.chosen, &pair.rejected};
  const Batch batch = pack_examples(both, 7).batch;
  ASSERT_EQ(batch.sequences, 2);
  const double beta = 0.5;
  std::vector<double> start;
  const auto loss = [&](std::span<const double> nats) {
    return std::log1p(std::exp(-beta * ((start[0] - nats[0]) - (start[1] - nats[1]))));
  };
  const auto sums = [&] {
    std::vector<double> total(2, 0.0);
    const std::vector<float> nats = model.score(batch);
    for (size_t i = 0; i < nats.size(); ++i) total[i / 7] += static_cast<double>(nats[i]);
    return total;
  };
  start = sums();
  start[0] += 0.3;  // a margin that is not 0
  model.parameters().zero_gradients();
  model.train_sequences(batch, [&](std::span<const double> nats) {
    const double slope = beta * (1 - std::exp(-loss(nats)));
    return std::vector<float>{static_cast<float>(slope), static_cast<float>(-slope)};
  });
  for (const char* name : {"model.layers.0.mlp.down_proj.weight", "lm_head.weight", "model.norm.weight"})
    expect_gradient_of(model, name, [&] { return loss(sums()); });
}

TEST(FineTune, TooLongExamplesArePassedOverAndNoneLeftIsAnError) {
  Transformer model = make_model();
  std::vector<FineTuneExample> examples = copy_task(10);
  examples[3].tokens.resize(20, 9);
  examples[4].answer_tokens = 0;
  EXPECT_EQ(finetune(model, examples, tiny_options(1e-3, 1)).passed_over, 2);
  EXPECT_THROW(finetune(model, std::vector<FineTuneExample>(3, examples[3]), tiny_options(1e-3, 1)), DataError);
}

std::vector<float> trained_values(Transformer& model) {
  const Tensor values = model.lora() ? model.lora()->values() : model.parameters().values();
  return {values.as<float>(), values.as<float>() + values.elements()};
}

// The third checkpoint asks for a stop, in a process of its own: a stop cannot be taken back. That begins the test
// anew, so the folder's name is of the group of both.
void expect_the_bits_of_an_uninterrupted_tuning(const std::function<Transformer()>& fresh) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() /
      fmt::format("starling-{}-{}", testing::UnitTest::GetInstance()->current_test_info()->name(), ::getpgrp());
  std::filesystem::remove_all(folder);
  FineTuneOptions options = tiny_options(3e-3, 2);
  options.checkpoint = {.folder = folder, .base = "b", .interval_s = 0};
  const auto stopped = [&] {
    int saved = 0;
    options.checkpoint.add_lineage = [&](const std::filesystem::path&) {
      if (++saved == 3) request_stop();
    };
    Transformer model = fresh();
    EXPECT_THROW(finetune(model, copy_task(100), options), Error);
    _exit(testing::Test::HasFailure());
  };
  EXPECT_EXIT(stopped(), testing::ExitedWithCode(0), "");
  ASSERT_TRUE(std::filesystem::exists(folder));
  options.checkpoint.resume = true;
  Transformer uninterrupted = fresh(), other = fresh(), resumed = fresh();
  EXPECT_THROW(finetune(other, copy_task(99), options), ConfigError);
  EXPECT_GT(finetune(resumed, copy_task(100), options).steps, 3);
  finetune(uninterrupted, copy_task(100), tiny_options(3e-3, 2));
  EXPECT_EQ(trained_values(resumed), trained_values(uninterrupted));
  std::filesystem::remove_all(folder);
}

TEST(FineTune, AStoppedTuningOfAWholeModelGoesOnWithTheSameBits) {
  expect_the_bits_of_an_uninterrupted_tuning(make_model);
}

TEST(FineTune, AStoppedTuningOfAdaptersGoesOnWithTheSameBits) {
  expect_the_bits_of_an_uninterrupted_tuning([] { return with_adapters(make_model(), DType::f32); });
}

TEST(FineTune, AModelThatDivergesIsAnError) {
  Transformer model = make_model();
  EXPECT_THROW(finetune(model, copy_task(100), tiny_options(1e16, 1)), Error);
}

TEST(FinetunedModel, AnAdapterThatIsMergedElsewhereBringsWhatItSaw) {
  const std::filesystem::path root =
      std::filesystem::temp_directory_path() / ("starling-finetuned-" + std::to_string(::getpid()));
  std::filesystem::create_directories(root / "base");
  const Transformer base = make_model();
  Transformer tuned = with_adapters(base, DType::f32), merged = with_adapters(base, DType::f32);
  FineTuneLineage lineage{.base = "base", .objective = "text"};
  lineage.seen.add("post", "7");
  save_finetuned(tuned, root / "base", root / "tuned", lineage);
  merged.lora()->load(root / "tuned/adapter");
  save_finetuned(merged, root / "base", root / "merged",
                 {.base = "base", .objective = "merge", .adapter = root / "tuned/adapter/"});
  EXPECT_TRUE(std::filesystem::exists(root / "merged/seen.bin") &&
              SeenIds::contains(root / "merged/seen.bin", "post", "7"));
  std::filesystem::remove_all(root);
}

TEST(FinetunedModel, ItsConfigSaysTheTypeOfItsWeights) {
  const std::filesystem::path root =
      std::filesystem::temp_directory_path() / ("starling-torch-dtype-" + std::to_string(::getpid()));
  std::filesystem::create_directories(root / "base");
  const Transformer base = make_model();
  for (const auto& [compute, name] : {std::pair{DType::f32, "float32"}, {DType::bf16, "bfloat16"}}) {
    Transformer tuned = with_adapters(base, compute);
    save_finetuned(tuned, root / "base", root / name, {.base = "base", .objective = "text"});
    EXPECT_EQ(parse_json(read_file(root / name / "config.json"))["torch_dtype"], std::string(name));
  }
  std::filesystem::remove_all(root);
}

class ChatRecords : public testing::Test {
 protected:
  ~ChatRecords() override { std::filesystem::remove(path_); }
  std::vector<ChatRecord> read(const std::string& text, ChatRecordKind kind) const {
    std::ofstream(path_, std::ios::binary) << text;
    return read_chat_records(path_, kind);
  }
  const std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("starling-records-" + std::to_string(::getpid()) + ".jsonl");
  const std::string supervised_ = R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},)"
                                  R"({"role":"user","content":"c"},{"role":"assistant","content":"d"}]})"
                                  "\n\n"
                                  R"({"prompt":"q","completion":"w"})"
                                  "\n";
  const std::string preference_ = R"({"prompt":"q","chosen":"yes","rejected":"no"})"
                                  "\n";
};

TEST_F(ChatRecords, EveryAnswerOfARecordIsAnExampleWithWhatCameBefore) {
  const ChatEncoder encoder{
      [](const std::vector<ChatTurn>& messages) { return std::vector<TokenId>(1 + messages.size(), 9); },
      [](const std::string& answer) {
        return std::vector<TokenId>{answer[0], kEnd};
      }};
  const auto examples = supervised_examples(read(supervised_, ChatRecordKind::supervised), encoder);
  ASSERT_EQ(examples.size(), 3);
  EXPECT_EQ(examples[0].tokens, (std::vector<TokenId>{9, 9, 'b', kEnd}));
  EXPECT_EQ(examples[1].tokens, (std::vector<TokenId>{9, 9, 9, 9, 'd', kEnd}));
  EXPECT_EQ(examples[2].answer_tokens, 2);
  const auto pairs = preference_pairs(read(preference_, ChatRecordKind::preference), encoder);
  ASSERT_EQ(pairs.size(), 1);
  EXPECT_EQ(pairs[0].chosen.tokens, (std::vector<TokenId>{9, 9, 'y', kEnd}));
  EXPECT_EQ(pairs[0].rejected.tokens, (std::vector<TokenId>{9, 9, 'n', kEnd}));
}

TEST_F(ChatRecords, TextsAreTheFieldTextOfEachLine) {
  std::ofstream(path_, std::ios::binary) << R"({"id":"1","text":"a post"})"
                                         << "\n\n"
                                         << R"({"text":""})"
                                         << "\n";
  const std::vector<TextRecord> records = read_text_records(path_);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].text, "a post");
  EXPECT_EQ(records[1].text, "");
  std::ofstream(path_, std::ios::binary) << R"({"text":"x"})"
                                         << "\n"
                                         << R"({"texts":"y"})"
                                         << "\n";
  EXPECT_THROW(read_text_records(path_), DataError);
}

TEST_F(ChatRecords, PostsAmongTextsAreSeenAndNoneThatMayNotBeLearned) {
  std::ofstream(path_) << R"({"id":"1","author":"ada","text":"a post"})"
                       << "\n"
                       << R"({"id":12,"author":null,"text":"of a platform with numbers"})"
                       << "\n"
                       << R"({"text":"of a book"})"
                       << "\n"
                       << R"({"id":"deleted","author":"eve","text":"gone"})"
                       << "\n"
                       << R"({"id":"2","author":"bob","text":"not for training"})"
                       << "\n";
  const std::filesystem::path database = path_.string() + ".db";
  {
    ControlDb control(database);
    control.add_tombstone({.kind = "post", .id = "deleted"});
    control.add_opt_out("bob", "training");
    SeenIds seen;
    const std::vector<std::string> texts = {"a post", "of a platform with numbers", "of a book"};
    EXPECT_EQ(allowed_texts(read_text_records(path_), control, seen), texts);
    EXPECT_EQ(seen.size(), 3u);
    EXPECT_THROW(allowed_texts({{"gone", "deleted", ""}}, control, seen), DataError);
    seen.save(path_);
  }
  for (const char* id : {"1", "12"}) EXPECT_TRUE(SeenIds::contains(path_, "post", id)) << id;
  EXPECT_TRUE(SeenIds::contains(path_, "author", "ada"));
  for (const char* file : {"", "-wal", "-shm"}) std::filesystem::remove(database.string() + file);
}

// With bytes as tokens: every token but the begin mark is learned once, whatever the length of the pieces.
TEST(TextExamples, LongTextsGoOnInFurtherExamples) {
  const auto tokenizer = train_byte_level_bpe([](std::string&) { return false; }, 259);
  const std::vector<std::string> texts = {"abcdefg", ""};
  const TextMarks marks{{1}, 2};
  const auto examples = text_examples(texts, *tokenizer, marks, 3);
  ASSERT_EQ(examples.size(), 4);
  std::vector<TokenId> learned;
  for (const FineTuneExample& e : examples) {
    EXPECT_EQ(e.answer_tokens + 1, static_cast<int64_t>(e.tokens.size()));
    EXPECT_LE(e.answer_tokens, 3);
    learned.insert(learned.end(), e.tokens.begin() + 1, e.tokens.end());
  }
  std::vector<TokenId> wanted = tokenizer->encode("abcdefg");
  wanted.insert(wanted.end(), {2, 2});
  EXPECT_EQ(learned, wanted);
  EXPECT_EQ(examples[1].tokens[0], examples[0].tokens.back());
  EXPECT_EQ(examples[3].tokens, (std::vector<TokenId>{1, 2}));
  const auto unopened = text_examples(texts, *tokenizer, {{}, 2}, 20);  // an empty text is nothing to learn
  ASSERT_EQ(unopened.size(), 1);
  EXPECT_EQ(unopened[0].tokens.front(), tokenizer->encode("a").front());
  EXPECT_EQ(unopened[0].answer_tokens, 7);
}

TEST_F(ChatRecords, RelatedTextsAreOfOneGroupWhereTheySaySo) {
  const auto write = [&](const std::string& lines) { std::ofstream(path_, std::ios::binary) << lines; };
  write(R"({"anchor":"a","positive":"b"})"
        "\n"
        R"({"anchor":"c","positive":"","group":"g"})"
        "\n"
        R"({"anchor":"d","positive":"e","group":"g"})");
  const std::vector<RelatedTexts> pairs = read_related_texts(path_);
  ASSERT_EQ(pairs.size(), 3);
  EXPECT_EQ(pairs[1].first, "c");
  EXPECT_EQ(pairs[1].second, "");
  EXPECT_EQ(pairs[1].group, pairs[2].group);
  EXPECT_NE(pairs[0].group, pairs[1].group);
  write(R"({"anchor":"a","positive":"b"})"
        "\n"
        R"({"anchor":"c","positive":"d","group":"line 1"})");
  EXPECT_NE(read_related_texts(path_)[0].group, read_related_texts(path_)[1].group)
      << "a name that looks like a line's";
  write(R"({"anchor":"a"})");
  EXPECT_THROW(read_related_texts(path_), DataError);
}

// Cut to the longest, so that the tokens read are those that the engine would read.
TEST(TextPairs, AreOpenedAndCut) {
  const auto tokenizer = train_byte_level_bpe([](std::string&) { return false; }, 259);
  const std::vector<RelatedTexts> texts = {{"abcdefg", "", 5}};
  const std::vector<TokenId> opening = {1};
  const TextPair pair = text_pairs(texts, *tokenizer, opening, 4).front();
  EXPECT_EQ(pair.anchor.places(), 4);
  EXPECT_EQ(pair.anchor.tokens[1], tokenizer->encode("a").front());
  EXPECT_EQ(pair.positive.tokens, (std::vector<TokenId>{1, 0}));
  EXPECT_EQ(pair.group, 5);
}

TEST_F(ChatRecords, AWrongRecordIsNamedByItsLine) {
  for (const char* line : {"{", "[]", R"({"messages":[]})", R"({"messages":[{"role":"user","content":"a"}]})",
                           R"({"messages":[{"role":"robot","content":"a"}]})", R"({"prompt":5,"completion":"x"})",
                           R"({"messages":[{"role":"assistant","content":"a"}]})"}) {
    try {
      read(supervised_ + line + "\n", ChatRecordKind::supervised);
      ADD_FAILURE() << line;
    } catch (const DataError& error) {
      EXPECT_NE(std::string(error.what()).find("line 4"), std::string::npos) << error.what();
    }
  }
  EXPECT_THROW(read(supervised_, ChatRecordKind::preference), DataError);
  EXPECT_THROW(read("", ChatRecordKind::supervised), DataError);
  EXPECT_THROW(read_chat_records("/nowhere/records.jsonl", ChatRecordKind::supervised), IoError);
}

TEST_F(ChatRecords, WhatIsMissingOrOfTheWrongKindIsSaidInPlainWords) {
  const auto reason = [&](const std::string& line, const std::function<void()>& read_file) -> std::string {
    std::ofstream(path_, std::ios::binary) << line;
    try {
      read_file();
    } catch (const DataError& error) {
      return error.what();
    }
    return "no error";
  };
  const auto supervised = [&] { read_chat_records(path_, ChatRecordKind::supervised); };
  const auto preference = [&] { read_chat_records(path_, ChatRecordKind::preference); };
  const auto text = [&] { read_text_records(path_); };
  const auto related = [&] { read_related_texts(path_); };
  const std::string at = path_.string() + " line 1: ";
  EXPECT_EQ(reason(R"({"completion":"x"})", supervised), at + "it has no \"messages\"");
  EXPECT_EQ(reason(R"({"prompt":5})", supervised), at + "\"prompt\" must be a text, not a number");
  EXPECT_EQ(reason(R"({"prompt":"q","completion":null})", supervised), at + "\"completion\" must be a text, not null");
  EXPECT_EQ(reason(R"({"messages":"q"})", supervised), at + "\"messages\" must be a list, not a text");
  EXPECT_EQ(reason(R"({"messages":["q"]})", supervised), at + "a message must be an object, not a text");
  EXPECT_EQ(reason(R"({"messages":[{"role":"user"}]})", supervised), at + "it has no \"content\"");
  EXPECT_EQ(reason("[1]", supervised), at + "a record must be an object, not a list");
  EXPECT_EQ(reason(R"({"prompt":"q","chosen":"a"})", preference), at + "it has no \"rejected\"");
  EXPECT_EQ(reason(R"({"id":"1","body":"a"})", text), at + "it has no \"text\"");
  EXPECT_EQ(reason("true", text), at + "a record must be an object, not true or false");
  EXPECT_EQ(reason(R"({"anchor":"a","positive":"b","group":7})", related),
            at + "\"group\" must be a text, not a number");
  for (const auto& read_file : {std::function<void()>(supervised), std::function<void()>(text)})
    EXPECT_EQ(reason("{\"prompt\":", read_file), at + "it is not JSON");
}

TEST_F(ChatRecords, TruncatedAndFlippedFilesAreRecordsOrErrorsButNeverACrash) {
  for (const ChatRecordKind kind : {ChatRecordKind::supervised, ChatRecordKind::preference}) {
    const std::string& text = kind == ChatRecordKind::supervised ? supervised_ : preference_;
    const auto try_with = [&](const std::string& content) {
      try {
        read(content, kind);
      } catch (const Error&) {
      }
    };
    for (size_t length = 0; length < text.size(); length += 3) try_with(text.substr(0, length));
    for (uint64_t round = 0; round < 300; ++round) {
      std::string flipped = text;
      flipped[draw(20, round, flipped.size())] ^= static_cast<char>(1 << draw(21, round, 8));
      try_with(flipped);
    }
  }
}

}  // namespace
}  // namespace starling

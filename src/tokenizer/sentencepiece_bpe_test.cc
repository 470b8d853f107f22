#include "tokenizer/sentencepiece_bpe.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "core/error.h"
#include "core/random.h"

namespace starling {
namespace {

using Ids = std::vector<TokenId>;

struct Vocabulary {
  std::vector<std::string> pieces = {"<unk>", "<s>", "</s>"};
  std::vector<float> scores = {0, 0, 0};
  std::vector<int32_t> types = {2, 3, 3};

  Vocabulary() {
    for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte), 0, 6);
  }
  TokenId add(const std::string& piece, float score, int32_t type = 1) {
    pieces.push_back(piece);
    scores.push_back(score);
    types.push_back(type);
    return static_cast<TokenId>(pieces.size() - 1);
  }
  std::unique_ptr<Tokenizer> make() const { return make_sentencepiece_bpe(pieces, scores, types); }
};

TokenId byte_id(unsigned char byte) { return 3 + byte; }

TEST(SentencePieceBpe, MergesTheHighestScoreFirstAndTheLeftmostOnTies) {
  Vocabulary v;
  const TokenId space = v.add("\u2581", -10), a = v.add("a", -11), b = v.add("b", -12), c = v.add("c", -13);
  const TokenId ab = v.add("ab", -2), bc = v.add("bc", -1), aa = v.add("aa", -3), space_a = v.add("\u2581a", -4);
  const auto tokenizer = v.make();
  EXPECT_EQ(tokenizer->encode("abc"), (Ids{space_a, bc}));
  EXPECT_EQ(tokenizer->encode("ab"), (Ids{space, ab}));
  EXPECT_EQ(tokenizer->encode("caaa"), (Ids{space, c, aa, a}));
  EXPECT_EQ(tokenizer->encode("b a"), (Ids{space, b, space_a}));
}

// Looked up at each of its cuts, it would be read a million times.
TEST(SentencePieceBpe, APieceOfAMegabyteIsLookedUpOnlyWhereItsPartsMayBePieces) {
  Vocabulary v;
  for (char c = 'a'; c <= 'z'; ++c) v.add(std::string(1, c), -2);
  const TokenId aa = v.add("aa", -1);
  v.add(std::string(1 << 20, 'a'), -3);
  EXPECT_EQ(v.make()->encode_continuation("aa"), Ids{aa});
}

TEST(SentencePieceBpe, PutsOneSpaceBeforeATextAndNoneBeforeAContinuation) {
  Vocabulary v;
  const TokenId space = v.add("\u2581", -2), a = v.add("a", -3), space_a = v.add("\u2581a", -1);
  const auto tokenizer = v.make();
  EXPECT_EQ(tokenizer->encode("a"), Ids{space_a});
  EXPECT_EQ(tokenizer->encode_continuation("a"), Ids{a});
  EXPECT_EQ(tokenizer->encode(" a"), (Ids{space, space_a}));
  EXPECT_EQ(tokenizer->encode(""), Ids{});
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("  a ")), "  a ");
  EXPECT_EQ(tokenizer->token_bytes(space_a), " a");
}

TEST(SentencePieceBpe, AVocabularyMayPutNoSpaceBeforeAText) {
  Vocabulary v;
  const TokenId space = v.add("\u2581", -2), a = v.add("a", -3), space_a = v.add("\u2581a", -1);
  const auto tokenizer = make_sentencepiece_bpe(v.pieces, v.scores, v.types, {}, false);
  EXPECT_EQ(tokenizer->encode("a"), Ids{a});
  EXPECT_EQ(tokenizer->encode("  a"), (Ids{space, space_a}));
  EXPECT_EQ(tokenizer->decode(Ids{space_a}), " a");
}

// Llama.cpp's kind 4: "<tool>" is a mark, a run of spaces or one character is text like any other.
TEST(SentencePieceBpe, UserDefinedPiecesAreMarkersUnlessTheyAreSpacesOrOneCharacter) {
  Vocabulary v;
  const TokenId space = v.add("\u2581", -2), a = v.add("a", -3), spaces = v.add("\u2581\u2581", 0, 4);
  const TokenId snow = v.add("\u2603", 0, 4), tool = v.add("<tool>", 0, 4);
  v.add("<tool", -1), v.add(">", -1);
  const auto tokenizer = v.make();
  EXPECT_EQ(tokenizer->encode(" a\u2603"), (Ids{spaces, a, snow}));
  EXPECT_EQ(tokenizer->encode("a"), (Ids{space, a}));
  ASSERT_EQ(tokenizer->marker_tokens().size(), 1u);
  EXPECT_EQ(tokenizer->marker_tokens()[0].id, tool);
  EXPECT_EQ(tokenizer->decode(Ids{tool}), "<tool>");
  const Ids typed = tokenizer->encode("<tool>");
  EXPECT_EQ(std::count(typed.begin(), typed.end(), tool), 0);
}

// A text's spaces are marks by then, so a piece with a bare space is never met; but a file's merge is cut at its space.
TEST(SentencePieceBpe, PiecesWithABareSpaceLeaveTheFileReadable) {
  Vocabulary v;
  const TokenId mark = v.add("\u2581", -2);
  for (const char* piece : {" ", "  ", "a", "a "}) v.add(piece, -1, 4);
  const auto tokenizer = v.make();
  const auto file = std::filesystem::temp_directory_path() / fmt::format("starling-spaces-{}.json", ::getpid());
  tokenizer->save(file);
  const auto read = Tokenizer::load(file);
  std::filesystem::remove(file);
  EXPECT_EQ(read->encode("  "), (Ids{mark, mark, mark}));
  EXPECT_EQ(read->encode("a a  "), tokenizer->encode("a a  "));
}

TEST(SentencePieceBpe, ACharacterWithoutAPieceBecomesItsBytes) {
  Vocabulary v;
  const TokenId space = v.add("\u2581", -1);
  const auto tokenizer = v.make();
  EXPECT_EQ(tokenizer->encode("\u00E9"), (Ids{space, byte_id(0xC3), byte_id(0xA9)}));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("\u00E9\n")), "\u00E9\n");
}

TEST(SentencePieceBpe, AnyBytesRoundTrip) {
  Vocabulary v;
  v.add("\u2581", -1);
  const auto tokenizer = v.make();
  for (uint64_t round = 0; round < 200; ++round) {
    std::string text;
    for (uint64_t i = 0; i < 40; ++i) text += static_cast<char>(random_u64(5, round, i));
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
}

TEST(SentencePieceBpe, SpecialAndByteTokensNeverComeFromTheirText) {
  Vocabulary v;
  v.add("\u2581", -9);
  for (const char* piece : {"<", "s", ">", "0", "x", "A", "<s", "s>", "<0", "<0x", "<0x0", "<0x0A"}) v.add(piece, -5);
  const auto tokenizer = v.make();
  for (const TokenId id : tokenizer->encode("<s> <0x0A></s>")) {
    EXPECT_GT(id, 2);
    EXPECT_NE(id, byte_id(0x0A));
  }
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("<s> <0x0A>")), "<s> <0x0A>");
  EXPECT_EQ(tokenizer->decode(Ids{1, byte_id('x'), 2}), "x");
  EXPECT_EQ(tokenizer->special_id("</s>"), 2);
}

TEST(SentencePieceBpe, APieceWithAnInnerSpaceIsFoundAcrossWords) {
  Vocabulary v;
  v.add("\u2581", -5), v.add("a", -6);
  const TokenId space_a = v.add("\u2581a", -1), both = v.add("\u2581a\u2581a", -2);
  EXPECT_EQ(v.make()->encode("a a a"), (Ids{both, space_a}));
}

TEST(SentencePieceBpe,
     AMegabyteWithoutSpacesRoundTrips) {  // a quadratic merge would not end within the test's time limit
  Vocabulary v;
  v.add("\u2581", -5), v.add("a", -6), v.add("b", -6), v.add("ab", -1), v.add("abab", -2);
  std::string text;
  while (text.size() < (1 << 20)) text += "ababb";
  const auto tokenizer = v.make();
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
}

TEST(SentencePieceBpe, RefusesAVocabularyThatIsNotWhole) {
  EXPECT_THROW(make_sentencepiece_bpe({"a"}, {0.0f, 1.0f}, {1}), DataError);  // counts differ
  EXPECT_THROW(make_sentencepiece_bpe({"a"}, {0.0f}, {1}), DataError);        // no byte tokens
  Vocabulary v;
  v.add("\xFF", 0);
  EXPECT_THROW(v.make(), DataError);  // not UTF-8
}

}  // namespace
}  // namespace starling

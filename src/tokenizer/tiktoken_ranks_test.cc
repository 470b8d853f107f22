#include "tokenizer/tiktoken_ranks.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/random.h"

namespace starling {
namespace {

using Ids = std::vector<TokenId>;

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](size_t j) {
      return j < bytes.size() ? static_cast<uint32_t>(static_cast<uint8_t>(bytes[j])) : 0;
    };
    const uint32_t bits = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    for (size_t digit = 0; digit < 4; ++digit)
      text += i + digit > bytes.size() ? '=' : kDigits[bits >> (18 - 6 * digit) & 63];
  }
  return text;
}

std::string ranks_of(const std::vector<std::string>& merged) {
  std::string lines;
  for (int byte = 0; byte < 256; ++byte)
    lines += fmt::format("{} {}\n", base64(std::string(1, static_cast<char>(byte))), byte);
  for (size_t i = 0; i < merged.size(); ++i) lines += fmt::format("{} {}\n", base64(merged[i]), 256 + i);
  return lines;
}

const TiktokenEncoding kEncoding = {"test", SplitPattern::kCl100k, {{260, "<|endoftext|>"}}};

std::unique_ptr<Tokenizer> made(const std::string& ranks) {
  return tokenizer_from_ranks(ranks, kEncoding, "test.tiktoken");
}

TEST(TiktokenRanks, MergeByRankAndTakeWholePieces) {
  // "abc" cannot be merged from "ab" + "c" before "bc" (rank 256) takes its letters; as a whole piece it is one token.
  const auto tokenizer = made(ranks_of({"bc", "ab", "abcd"}));
  EXPECT_EQ(tokenizer->encode("abc"), (Ids{'a', 256}));
  EXPECT_EQ(tokenizer->encode("abcd"), (Ids{258}));
  EXPECT_EQ(tokenizer->encode("xab"), (Ids{'x', 257}));
  EXPECT_EQ(tokenizer->decode(Ids{'x', 257, 258}), "xababcd");
}

TEST(TiktokenRanks, AFileNamedAfterItsEncodingIsLoadedWhereverATokenizerIs) {
  const auto folder = std::filesystem::temp_directory_path() / fmt::format("starling-ranks-{}", ::getpid());
  std::filesystem::create_directories(folder);
  std::vector<std::string> pairs;  // as many as r50k_base has merged tokens
  for (int i = 0; i < 50000; ++i) pairs.push_back({static_cast<char>(i / 256), static_cast<char>(i % 256)});
  write_file_atomic(folder / "r50k_base.tiktoken", ranks_of(pairs));
  write_file_atomic(folder / "other.tiktoken", ranks_of(pairs));
  const auto tokenizer = Tokenizer::load(folder / "r50k_base.tiktoken");
  EXPECT_EQ(tokenizer->encode("ab"), (Ids{256 + 256 * 'a' + 'b'}));
  EXPECT_EQ(tokenizer->special_id("<|endoftext|>"), 50256);
  EXPECT_THROW(Tokenizer::load(folder / "other.tiktoken"), ConfigError);
  std::filesystem::remove_all(folder);
}

TEST(TiktokenRanks, SpecialTokensComeOnlyWhereTheCallerAllowsThem) {
  const auto tokenizer = made(ranks_of({"bc"}));
  const std::string text = "a<|endoftext|>b";
  for (const TokenId id : tokenizer->encode(text)) EXPECT_LT(id, 257);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  EXPECT_EQ(tokenizer->encode_with_special(text, Ids{260}), (Ids{'a', 260, 'b'}));
  EXPECT_EQ(tokenizer->encode_with_special(text, Ids{}), tokenizer->encode(text));
  EXPECT_THROW(tokenizer->encode_with_special(text, Ids{5}), DataError);
  EXPECT_TRUE(tokenizer->special_id("<|unused_258|>").has_value());  // a gap between the ranks and the special tokens
}

TEST(TiktokenRanks, TheLongestAllowedSpecialTokenCounts) {
  const TiktokenEncoding encoding = {"test", SplitPattern::kGpt2, {{256, "<a>"}, {257, "<a><b>"}}};
  const auto tokenizer = tokenizer_from_ranks(ranks_of({}), encoding, "test.tiktoken");
  EXPECT_EQ(tokenizer->encode_with_special("<a><b><a>", Ids{256, 257}), (Ids{257, 256}));
  EXPECT_EQ(tokenizer->encode_with_special("<a><b>", Ids{256}), (Ids{256, '<', 'b', '>'}));
}

TEST(TiktokenRanks, AnErrorNamesTheLine) {
  const auto message = [](const std::string& ranks) -> std::string {
    try {
      made(ranks);
      return "no error";
    } catch (const DataError& error) {
      return error.what();
    }
  };
  EXPECT_NE(message("YQ== 97\nYg==\n").find("test.tiktoken: line 2"), std::string::npos);
  EXPECT_NE(message("YQ= 97\n").find("line 1"), std::string::npos);
  EXPECT_NE(message("YR== 97\n").find("line 1"), std::string::npos);  // bits behind the last byte
  EXPECT_NE(message("").find("base64 rank"), std::string::npos);
  EXPECT_NE(message(ranks_of({"ab"}) + "YWM= 256\n").find("256"), std::string::npos);
  EXPECT_NE(message(ranks_of({"ab", "ab"})).find("twice"), std::string::npos);
  EXPECT_NE(message(ranks_of({}) + "YWM= 900000\n").find("900000"), std::string::npos);
  EXPECT_NE(message("YQ== 0\n").find("byte"), std::string::npos);
  EXPECT_THROW(tiktoken_encoding("p50k"), ConfigError);
}

TEST(TiktokenRanks, TruncationsAndBitFlipsAreDataErrorsOrOtherVocabularies) {
  const std::string whole = ranks_of({"bc", "ab", "abcd"});
  const auto try_ranks = [](const std::string& ranks) {
    try {
      EXPECT_EQ(made(ranks)->decode(made(ranks)->encode("abcd xyz")), "abcd xyz");
    } catch (const DataError&) {
    }
  };
  for (size_t size = 0; size < whole.size(); size += 7) try_ranks(whole.substr(0, size));
  for (uint64_t round = 0; round < 500; ++round) {
    std::string damaged = whole;
    damaged[random_u64(1, round, 0) % damaged.size()] ^= static_cast<char>(1 << random_u64(1, round, 1) % 8);
    try_ranks(damaged);
  }
}

}  // namespace
}  // namespace starling

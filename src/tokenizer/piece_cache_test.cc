#include "tokenizer/piece_cache.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace starling {
namespace {

template <typename Table>
class PieceTableOf : public ::testing::Test {};
using Tables = ::testing::Types<PieceTable<16, 1 << 10>, PieceTable<32, 1 << 10>, PieceTable<16, 1 << 13>>;
TYPED_TEST_SUITE(PieceTableOf, Tables);

// Piece i: its number, then zeros, which must not be taken for the zeros behind a shorter piece.
template <typename Table>
typename Table::Key key_of(size_t i) {
  std::string piece = std::to_string(i);
  piece.resize(piece.size() + i % (Table::kLongestPiece - piece.size() + 1), '\0');
  const size_t size = piece.size();
  piece.resize(64, '#');  // what follows in the text
  return {piece.data(), size};
}

template <typename Table>
std::vector<TokenId> tokens_of(size_t i) {
  return std::vector<TokenId>(1 + i % Table::kMostTokens, static_cast<TokenId>(i));
}

template <typename Table>
std::vector<TokenId> found(Table& table, size_t i) {
  std::vector<TokenId> tokens(Table::kMostTokens);
  tokens.resize(table.find(key_of<Table>(i), tokens.data()));
  return tokens;
}

TYPED_TEST(PieceTableOf, ForgetsOldPiecesButNeverMistakesOne) {
  constexpr size_t kPieces = 20000;
  TypeParam table;
  for (size_t i = 0; i < kPieces; ++i) {
    ASSERT_TRUE(found(table, i).empty());
    const std::vector<TokenId> tokens = tokens_of<TypeParam>(i);
    table.insert(key_of<TypeParam>(i), tokens.data(), tokens.size());
    ASSERT_EQ(found(table, i), tokens);
  }
  std::array<size_t, 2> known{};
  for (size_t& count : known) {  // finding moves a piece, and must lose none
    for (size_t i = 0; i < kPieces; ++i) {
      const std::vector<TokenId> tokens = found(table, i);
      if (tokens.empty()) continue;
      ASSERT_EQ(tokens, tokens_of<TypeParam>(i));
      ++count;
    }
  }
  EXPECT_EQ(known[0], known[1]);
  EXPECT_GT(known[0], 3500);  // of 4 x 1024 places, or of 4 x 8192
}

}  // namespace
}  // namespace starling

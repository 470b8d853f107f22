#include "train/model_card.h"

#include <gtest/gtest.h>

namespace starling {
namespace {

TEST(ModelCard, ListsLanguagesByPostsAndTheRareOnesTogether) {
  const std::string card = model_card(
      {.name = "own"}, {}, {}, {.posts_per_language = {{"de", 10}, {"en", 9970}, {"", 15}, {"fr", 4}, {"ga", 1}}});
  EXPECT_NE(card.find("| en | 9970 |\n| und | 15 |\n| de | 10 |\n| 2 more, each less than a thousandth | 5 |\n\n"),
            std::string::npos)
      << card;
}

}  // namespace
}  // namespace starling

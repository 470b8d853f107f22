#include "infer/prompt_shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling {
namespace {

using testing::ElementsAre;

const Service kA{.tenant = "a"}, kB{.tenant = "b"}, kC{.tenant = "c"};
const Service kBatch{.priority = Priority::batch, .tenant = "a"};

std::vector<int64_t> shares(const std::vector<WaitingPrompt>& prompts, int64_t tokens) {
  return prompt_shares(prompts, tokens);
}

TEST(PromptShares, OfATenantTheShortestComeFirstButForAQuarterOfTheLongestWaiting) {
  EXPECT_THAT(shares({{&kA, 1000}, {&kA, 64}, {&kA, 200}, {&kA, 50}}, 400), ElementsAre(100, 64, 186, 50));
  EXPECT_THAT(shares({{&kA, 64}, {&kA, 64}, {&kA, 64}}, 128), ElementsAre(64, 64, 0));
  EXPECT_THAT(shares({{&kA, 30}}, 512), ElementsAre(30));
}

TEST(PromptShares, TenantsShareEvenlyWhatTheyNeed) {
  EXPECT_THAT(shares({{&kA, 900}, {&kA, 900}, {&kB, 900}}, 512), ElementsAre(256, 0, 256));
  EXPECT_THAT(shares({{&kA, 900}, {&kB, 20}, {&kC, 100}}, 512), ElementsAre(392, 20, 100));
  EXPECT_THAT(shares({{&kA, 900}, {&kB, 900}, {&kC, 8}}, 24), ElementsAre(16, 0, 8)) << "a share of 8 is not worth it";
}

TEST(PromptShares, BatchWorkTakesWhatIsLeft) {
  EXPECT_THAT(shares({{&kB, 100}, {&kBatch, 900}}, 512), ElementsAre(100, 412));
  EXPECT_THAT(shares({{&kB, 900}, {&kBatch, 900}}, 512), ElementsAre(512, 0));
}

TEST(PromptShares, NothingToShareOrNobodyToShareIt) {
  EXPECT_THAT(shares({{&kA, 10}, {&kB, 0}}, 0), ElementsAre(0, 0));
  EXPECT_THAT(shares({}, 512), ElementsAre());
  EXPECT_THAT(shares({{&kA, 0}}, 512), ElementsAre(0));
}

}  // namespace
}  // namespace starling

#include "ops/profile.h"

#include <gtest/gtest.h>

#include <map>

#include "ops/linear_cross_entropy.h"
#include "ops/swiglu.h"
#include "tensor/buffer.h"

namespace starling {
namespace {

std::map<std::string, OperatorProfile> by_name(const std::vector<OperatorProfile>& list) {
  std::map<std::string, OperatorProfile> map;
  for (const OperatorProfile& profile : list) map[profile.name] = profile;
  return map;
}

TEST(Profile, CountsCallsOperationsAndBytesOfAnOperator) {
  const Buffer x(DType::f32, {3, 16}), y(DType::f32, {3, 8});
  start_profile();
  swiglu_forward(y.tensor(), x.tensor());
  swiglu_forward(y.tensor(), x.tensor());
  const std::vector<OperatorProfile> list = stop_profile();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].name, "swiglu forward");
  EXPECT_EQ(list[0].calls, 2);
  EXPECT_EQ(list[0].flops, 2 * 16.0 * 24);
  EXPECT_EQ(list[0].bytes, 2 * 4.0 * (48 + 24));
  EXPECT_GT(list[0].seconds, 0);
}

// The head's three products of 2 N V C operations each stand in rows of their own.
TEST(Profile, GivesAnInnerOperatorARowOfItsOwn) {
  const Buffer hidden(DType::f32, {4, 8}), weight(DType::f32, {16, 8}), nats(DType::f32, {4}),
      dhidden(DType::f32, {4, 8}), dweight(DType::f32, {16, 8}), targets(DType::i32, {4});
  start_profile();
  linear_cross_entropy_train(nats.tensor(), dhidden.tensor(), dweight.tensor(), hidden.tensor(), weight.tensor(),
                             targets.tensor(), {}, LogitChunk(16, DType::f32, 2));
  auto rows = by_name(stop_profile());
  EXPECT_EQ(rows["cross entropy"].calls, 1);
  for (const char* product : {"linear forward", "linear backward input", "linear backward weight"}) {
    EXPECT_EQ(rows[product].calls, 2) << product;  // two chunks of two rows
    EXPECT_NEAR(rows[product].flops, 2.0 * 4 * 16 * 8, 1e-6) << product;
  }
}

TEST(Profile, MeasuresNothingBetweenStopAndStart) {
  const Buffer x(DType::f32, {3, 16}), y(DType::f32, {3, 8});
  swiglu_forward(y.tensor(), x.tensor());
  start_profile();
  EXPECT_TRUE(stop_profile().empty());
}

}  // namespace
}  // namespace starling

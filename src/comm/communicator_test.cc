#include "comm/communicator.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace starling {
namespace {

TEST(Communicator, AloneAMeanAndASumAreTheValueItself) {
  const auto self = make_communicator("self");
  float values[] = {1, 2, 3};
  self->all_reduce_mean({values, DType::f32, {3}});
  EXPECT_EQ(values[2], 3.0f);
  EXPECT_EQ(self->all_reduce_sum(4.5), 4.5);
  EXPECT_EQ(self->size(), 1);
  EXPECT_EQ(self->rank(), 0);
  self->barrier();
}

TEST(Communicator, AKindThatThisBuildLacksIsAnError) { EXPECT_THROW(make_communicator("nccl"), CommError); }

}  // namespace
}  // namespace starling

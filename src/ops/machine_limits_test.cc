#include "ops/machine_limits.h"

#include <gtest/gtest.h>

namespace starling {
namespace {

// An instruction that this processor lacks would end the program.
TEST(MachineLimits, HaveALoopForEveryTypeOnEveryProcessor) {
  for (const Arithmetic arithmetic : {Arithmetic::f32, Arithmetic::bf16, Arithmetic::int8})
    EXPECT_GT(measure_register_flops(arithmetic, 0.01), 0);
}

TEST(MachineLimits, ReadAnyAmountOfMemory) {
  for (const int64_t bytes : {0, 1, 300, 100'000}) EXPECT_GT(measure_read_bytes_per_s(bytes, 0.001), 0) << bytes;
}

}  // namespace
}  // namespace starling

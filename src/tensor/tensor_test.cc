#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "tensor/buffer.h"
#include "tensor/device.h"

namespace starling {
namespace {

TEST(Tensor, RowsAreAViewOfTheSameMemory) {
  Arena arena;
  const Tensor all = arena.allocate(DType::f32, {4, 3}), part = all.rows(2, 1);
  part.as<float>()[1] = 7.0f;
  EXPECT_EQ(all.as<float>()[7], 7.0f);
  EXPECT_EQ(part.shape(), (Shape{1, 3}));
  EXPECT_THROW(all.rows(3, 2), ShapeError);
  EXPECT_EQ(arena.bytes(), 48);
}

TEST(Tensor, MemoryStartsAtZeroAndAtACacheLine) {
  const Buffer buffer(DType::bf16, {5});
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.tensor().data()) % 64, 0u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(buffer.tensor().as<bf16>()[i].bits, 0);
}

// Long enough for several threads, with a rest.
TEST(Tensor, IsCopiedAndSetToZeroWhole) {
  const int64_t count = 3'000'001;
  const Buffer from(DType::i32, {count}), to(DType::i32, {count + 1});
  for (int64_t i = 0; i < count; ++i) from.tensor().as<int32_t>()[i] = static_cast<int32_t>(i + 1);
  int32_t* values = to.tensor().as<int32_t>();
  values[count] = -1;
  copy(to.tensor().rows(0, count), from.tensor());
  for (int64_t i = 0; i < count; ++i) ASSERT_EQ(values[i], i + 1);
  set_zero(to.tensor().rows(0, count));
  EXPECT_TRUE(std::all_of(values, values + count, [](int32_t value) { return value == 0; }));
  EXPECT_EQ(values[count], -1);
  EXPECT_THROW(copy(to.tensor(), from.tensor()), ShapeError);
}

TEST(Tensor, AWrongTypeOrShapeIsAnErrorThatSaysBoth) {
  const Buffer buffer(DType::f32, {2, 3});
  EXPECT_THROW(buffer.tensor().as<bf16>(), ShapeError);
  try {
    require_shape(buffer.tensor(), DType::bf16, {2, 4}, "x");
    FAIL();
  } catch (const ShapeError& error) {
    EXPECT_STREQ(error.what(), "x: want bf16 [2, 4], got f32 [2, 3]");
  }
}

TEST(Shape, HasAtMostFourExtentsAndNoneBelowZero) {
  EXPECT_THROW((Shape{1, 2, 3, 4, 5}), ShapeError);
  EXPECT_THROW((Shape{-1}), ShapeError);
  EXPECT_EQ((Shape{2, 3, 4}).elements(), 24);
}

}  // namespace
}  // namespace starling

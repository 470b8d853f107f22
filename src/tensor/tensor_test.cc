#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tensor/buffer.h"

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

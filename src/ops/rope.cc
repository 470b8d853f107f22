#include "ops/rope.h"

#include <cmath>

#include "core/error.h"
#include "ops/kernels.h"
#include "ops/profile.h"

namespace starling {
namespace {

void rotate(Tensor x, ConstTensor table, ConstTensor positions, int64_t heads, float sign) {
  const ProfiledOperator timed("rope", 3.0 * static_cast<double>(x.elements()),
                               static_cast<double>(x.bytes() + x.bytes()));
  const int64_t N = x.extent(0), D = table.extent(1);
  require_shape(table, DType::f32, {table.extent(0), D}, "rope table");
  require_shape(positions, DType::i32, {N}, "rope positions");
  if (heads * D > x.extent(1) || D % 2 != 0) throw ShapeError("rope: heads of this size do not fit the rows");
  with_kernels(common_device("rope", {x, table, positions}),
               [&](auto kernels) { kernels.rope(x, table, positions, heads, sign); });
}

}  // namespace

void rope_fill_table(Tensor table, std::span<const double> frequencies, double magnitude) {
  const int64_t P = table.extent(0), D = table.extent(1);
  if (static_cast<int64_t>(frequencies.size()) * 2 != D)
    throw ShapeError("rope: not one frequency a pair of the table");
  for (int64_t p = 0; p < P; ++p)
    for (int64_t i = 0; i < D / 2; ++i) {
      const double angle = static_cast<double>(p) * frequencies[static_cast<size_t>(i)];
      table.as<float>()[p * D + i] = static_cast<float>(magnitude * std::cos(angle));
      table.as<float>()[p * D + D / 2 + i] = static_cast<float>(magnitude * std::sin(angle));
    }
}

void rope_forward(Tensor x, ConstTensor table, ConstTensor positions, int64_t heads) {
  rotate(x, table, positions, heads, 1.0f);
}
void rope_backward(Tensor dx, ConstTensor table, ConstTensor positions, int64_t heads) {
  rotate(dx, table, positions, heads, -1.0f);
}

}  // namespace starling

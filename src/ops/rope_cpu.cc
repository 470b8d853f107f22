#include <cmath>

#include "core/error.h"
#include "core/threads.h"
#include "ops/profile.h"
#include "ops/rope.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

constexpr int64_t kRowGrain = 32;

template <class T>
STARLING_INLINE inline void rotate(T* __restrict head, const float* cosine, const float* sine, int64_t half,
                                   float sign) {
  for (int64_t i = 0; i < half; ++i) {
    const float first = to_float(head[i]), second = to_float(head[half + i]), s = sign * sine[i];
    head[i] = from_float<T>(first * cosine[i] - second * s);
    head[half + i] = from_float<T>(second * cosine[i] + first * s);
  }
}

void rotate_rows(Tensor x, ConstTensor table, ConstTensor positions, int64_t heads, float sign) {
  const ProfiledOperator timed("rope", 3.0 * static_cast<double>(x.elements()),
                               static_cast<double>(x.bytes() + x.bytes()));
  const int64_t N = x.extent(0), D = table.extent(1), stride = x.extent(1);
  require_shape(positions, DType::i32, {N}, "rope positions");
  if (heads * D > stride || D % 2 != 0) throw ShapeError("rope: heads of this size do not fit the rows");
  for (int64_t n = 0; n < N; ++n)
    if (const int32_t p = positions.as<int32_t>()[n]; p < 0 || p >= table.extent(0))
      throw ShapeError("rope: a position is outside the table");
  dispatch_float(x.dtype(), "rope x", [&]<class T>(T) {
    T* rows = x.as<T>();
    const float* angles = table.as<float>();
    const int32_t* places = positions.as<int32_t>();
    parallel_for(N, kRowGrain, [&](int64_t begin, int64_t end) {
      with_widest_vectors([=]() STARLING_INLINE {
        for (int64_t n = begin; n < end; ++n) {
          const float* cosine = angles + places[n] * D;
          for (int64_t h = 0; h < heads; ++h) rotate(rows + n * stride + h * D, cosine, cosine + D / 2, D / 2, sign);
        }
      });
    });
  });
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
  rotate_rows(x, table, positions, heads, 1.0f);
}
void rope_backward(Tensor dx, ConstTensor table, ConstTensor positions, int64_t heads) {
  rotate_rows(dx, table, positions, heads, -1.0f);
}

}  // namespace starling

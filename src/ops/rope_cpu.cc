#include "core/error.h"
#include "core/threads.h"
#include "ops/kernels.h"
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

}  // namespace

template <>
void Kernels<Device::cpu>::rope(Tensor x, ConstTensor table, ConstTensor positions, int64_t heads, float sign) {
  const int64_t N = x.extent(0), D = table.extent(1), stride = x.extent(1);
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

}  // namespace starling

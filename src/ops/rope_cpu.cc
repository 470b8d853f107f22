#include <type_traits>

#include "core/error.h"
#include "core/threads.h"
#include "ops/bf16_lanes.h"
#include "ops/kernels.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

constexpr int64_t kRowGrain = 32;

// As many of a head's pairs as make whole lanes; returns how many.
STARLING_AVX512_BF16 int64_t rotate_in_lanes(bf16* head, const float* cosine, const float* sine, int64_t half,
                                             float sign) {
  int64_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const __m512 first = load_lanes(head + i), second = load_lanes(head + half + i), c = _mm512_loadu_ps(cosine + i),
                 s = _mm512_mul_ps(_mm512_set1_ps(sign), _mm512_loadu_ps(sine + i));
    store_lanes(head + i, _mm512_fmsub_ps(first, c, _mm512_mul_ps(second, s)));
    store_lanes(head + half + i, _mm512_fmadd_ps(second, c, _mm512_mul_ps(first, s)));
  }
  return i;
}

template <class T>
STARLING_INLINE inline void rotate(T* __restrict head, const float* cosine, const float* sine, int64_t half,
                                   float sign) {
  int64_t i = 0;
  if constexpr (std::is_same_v<T, bf16>)
    if (use_avx512_bf16()) i = rotate_in_lanes(head, cosine, sine, half, sign);
  for (; i < half; ++i) {
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

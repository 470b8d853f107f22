#include <type_traits>

#include "core/error.h"
#include "core/threads.h"
#include "ops/bf16_lanes.h"
#include "ops/kernels.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

constexpr int64_t kRowGrain = 32;

// Of the first heads of a row, D wide: turns the pairs of each by the row's angles.
struct Row {
  const float *cosine, *sine;
  int64_t heads, D;
  float sign;
  int64_t half() const { return D / 2; }
};

// As many pairs of each head as make whole lanes; returns how many.
STARLING_AVX512_BF16 int64_t rotate_in_lanes(bf16* x, const Row& row) {
  int64_t i = 0;
  for (; i + kLanes <= row.half(); i += kLanes) {
    const __m512 c = _mm512_loadu_ps(row.cosine + i),
                 s = _mm512_mul_ps(_mm512_set1_ps(row.sign), _mm512_loadu_ps(row.sine + i));
    for (bf16* at = x + i; at < x + row.heads * row.D; at += row.D) {
      const __m512 first = load_lanes(at), second = load_lanes(at + row.half());
      store_lanes(at, _mm512_fmsub_ps(first, c, _mm512_mul_ps(second, s)));
      store_lanes(at + row.half(), _mm512_fmadd_ps(second, c, _mm512_mul_ps(first, s)));
    }
  }
  return i;
}

template <class T>
STARLING_INLINE inline void rotate(T* __restrict x, const Row& row) {
  int64_t begin = 0;
  if constexpr (std::is_same_v<T, bf16>)
    if (use_avx512_bf16()) begin = rotate_in_lanes(x, row);
  if (begin == row.half()) return;
  for (T* head = x; head < x + row.heads * row.D; head += row.D)
    for (int64_t i = begin; i < row.half(); ++i) {
      const float first = to_float(head[i]), second = to_float(head[row.half() + i]), s = row.sign * row.sine[i];
      head[i] = from_float<T>(first * row.cosine[i] - second * s);
      head[row.half() + i] = from_float<T>(second * row.cosine[i] + first * s);
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
          rotate(rows + n * stride, {cosine, cosine + D / 2, heads, D, sign});
        }
      });
    });
  });
}

}  // namespace starling

#include <type_traits>

#include "core/threads.h"
#include "ops/bf16_lanes.h"
#include "ops/kernels.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

constexpr int64_t kRowGrain = 32;

// z(g) and its derivative.
template <Gate kind>
STARLING_INLINE inline float exponent(float g) {
  if constexpr (kind == Gate::silu) return g;
  else return kGeluScale * (g + kGeluCubic * g * g * g);
}
template <Gate kind>
STARLING_INLINE inline float exponent_slope(float g) {
  if constexpr (kind == Gate::silu) return 1.0f;
  else return kGeluScale * (1.0f + 3.0f * kGeluCubic * g * g);
}

STARLING_AVX512_BF16 STARLING_INLINE inline __m512 sigmoid(__m512 g) {
  const __m512 one = _mm512_set1_ps(1.0f);
  return _mm512_div_ps(one, _mm512_add_ps(one, power_of_two(_mm512_mul_ps(g, _mm512_set1_ps(-kLog2OfE)))));
}
// As many of a row's silu gates as make whole lanes; return how many.
STARLING_AVX512_BF16 int64_t forward_in_lanes(bf16* y, const bf16* gate, const bf16* up, int64_t F) {
  int64_t f = 0;
  for (; f + kLanes <= F; f += kLanes) {
    const __m512 g = load_lanes(gate + f);
    store_lanes(y + f, _mm512_mul_ps(_mm512_mul_ps(g, sigmoid(g)), load_lanes(up + f)));
  }
  return f;
}
STARLING_AVX512_BF16 int64_t backward_in_lanes(bf16* dgate, bf16* dup, const bf16* dy, const bf16* gate, const bf16* up,
                                               int64_t F) {
  const __m512 one = _mm512_set1_ps(1.0f);
  int64_t f = 0;
  for (; f + kLanes <= F; f += kLanes) {
    const __m512 g = load_lanes(gate + f), s = sigmoid(g), ds = _mm512_mul_ps(load_lanes(dy + f), s);
    const __m512 slope = _mm512_fmadd_ps(g, _mm512_sub_ps(one, s), one);
    store_lanes(dgate + f, _mm512_mul_ps(_mm512_mul_ps(ds, load_lanes(up + f)), slope));
    store_lanes(dup + f, _mm512_mul_ps(ds, g));
  }
  return f;
}

template <Gate kind, class T>
STARLING_INLINE inline void forward_row(T* __restrict y, const T* gate, const T* up, int64_t F) {
  int64_t f = 0;
  if constexpr (kind == Gate::silu && std::is_same_v<T, bf16>)
    if (use_avx512_bf16()) f = forward_in_lanes(y, gate, up, F);
  for (; f < F; ++f) {
    const float g = to_float(gate[f]);
    y[f] = from_float<T>(g / (1.0f + fast_exp(-exponent<kind>(g))) * to_float(up[f]));
  }
}

template <Gate kind, class T>
STARLING_INLINE inline void backward_row(T* __restrict dgate, T* __restrict dup, const T* dy, const T* gate,
                                         const T* up, int64_t F) {
  int64_t f = 0;
  if constexpr (kind == Gate::silu && std::is_same_v<T, bf16>)
    if (use_avx512_bf16()) f = backward_in_lanes(dgate, dup, dy, gate, up, F);
  for (; f < F; ++f) {
    const float g = to_float(gate[f]), d = to_float(dy[f]);
    const float s = 1.0f / (1.0f + fast_exp(-exponent<kind>(g)));
    dgate[f] = from_float<T>(d * to_float(up[f]) * s * (1.0f + g * exponent_slope<kind>(g) * (1.0f - s)));
    dup[f] = from_float<T>(d * g * s);
  }
}

template <class F>
void with_gate(Gate gate, F&& f) {
  if (gate == Gate::silu) f.template operator()<Gate::silu>();
  else f.template operator()<Gate::gelu>();
}

}  // namespace

template <>
void Kernels<Device::cpu>::swiglu_forward(Tensor y, ConstTensor gate_up, Gate gate) {
  const int64_t N = y.extent(0), F = y.extent(1);
  dispatch_float(y.dtype(), "swiglu y", [&]<class T>(T) {
    T* to = y.as<T>();
    const T* from = gate_up.as<T>();
    with_gate(gate, [&]<Gate kind>() {
      parallel_for(N, kRowGrain, [&](int64_t begin, int64_t end) {
        with_widest_vectors([=]() STARLING_INLINE {
          for (int64_t n = begin; n < end; ++n)
            forward_row<kind>(to + n * F, from + n * 2 * F, from + n * 2 * F + F, F);
        });
      });
    });
  });
}

template <>
void Kernels<Device::cpu>::swiglu_backward(Tensor dgate_up, ConstTensor dy, ConstTensor gate_up, Gate gate) {
  const int64_t N = dy.extent(0), F = dy.extent(1);
  dispatch_float(dy.dtype(), "swiglu dy", [&]<class T>(T) {
    T* to = dgate_up.as<T>();
    const T *from = dy.as<T>(), *x = gate_up.as<T>();
    with_gate(gate, [&]<Gate kind>() {
      parallel_for(N, kRowGrain, [&](int64_t begin, int64_t end) {
        with_widest_vectors([=]() STARLING_INLINE {
          for (int64_t n = begin; n < end; ++n) {
            const int64_t at = n * 2 * F, up = at + F;
            backward_row<kind>(to + at, to + up, from + n * F, x + at, x + up, F);
          }
        });
      });
    });
  });
}

}  // namespace starling

#include "core/threads.h"
#include "ops/swiglu.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

constexpr int64_t kRowGrain = 32;

template <class T>
void forward_row(T* y, const T* gate, const T* up, int64_t F) {
  for (int64_t f = 0; f < F; ++f) {
    const float g = to_float(gate[f]);
    y[f] = from_float<T>(g / (1.0f + fast_exp(-g)) * to_float(up[f]));
  }
}

template <class T>
void backward_row(T* dgate, T* dup, const T* dy, const T* gate, const T* up, int64_t F) {
  for (int64_t f = 0; f < F; ++f) {
    const float g = to_float(gate[f]), d = to_float(dy[f]);
    const float s = 1.0f / (1.0f + fast_exp(-g));
    dgate[f] = from_float<T>(d * to_float(up[f]) * s * (1.0f + g * (1.0f - s)));
    dup[f] = from_float<T>(d * g * s);
  }
}

}  // namespace

void swiglu_forward(Tensor y, ConstTensor gate_up) {
  const int64_t N = y.extent(0), F = y.extent(1);
  require_shape(gate_up, y.dtype(), {N, 2 * F}, "swiglu gate_up");
  dispatch_float(y.dtype(), "swiglu y", [&]<class T>(T) {
    parallel_for(N, kRowGrain, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        const T* gate = gate_up.as<T>() + n * 2 * F;
        forward_row(y.as<T>() + n * F, gate, gate + F, F);
      }
    });
  });
}

void swiglu_backward(Tensor dgate_up, ConstTensor dy, ConstTensor gate_up) {
  const int64_t N = dy.extent(0), F = dy.extent(1);
  require_shape(gate_up, dy.dtype(), {N, 2 * F}, "swiglu gate_up");
  require_shape(dgate_up, dy.dtype(), {N, 2 * F}, "swiglu dgate_up");
  dispatch_float(dy.dtype(), "swiglu dy", [&]<class T>(T) {
    parallel_for(N, kRowGrain, [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        const T* gate = gate_up.as<T>() + n * 2 * F;
        T* dgate = dgate_up.as<T>() + n * 2 * F;
        backward_row(dgate, dgate + F, dy.as<T>() + n * F, gate, gate + F, F);
      }
    });
  });
}

}  // namespace starling

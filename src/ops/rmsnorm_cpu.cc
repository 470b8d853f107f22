#include <cmath>
#include <vector>

#include "core/threads.h"
#include "ops/kernels.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

constexpr int64_t kRowGrain = 32;
constexpr int64_t kPartialSums = 16;  // fixed, so that dw does not depend on the number of threads

template <class T>
STARLING_INLINE inline void forward_row(T* __restrict y, float& rstd, const float* x, const float* w, int64_t C,
                                        float eps) {
  float squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t c = 0; c < C; ++c) squares += x[c] * x[c];
  rstd = 1.0f / std::sqrt(squares / static_cast<float>(C) + eps);
  const float scale = rstd;
  for (int64_t c = 0; c < C; ++c) y[c] = from_float<T>(x[c] * scale * w[c]);
}

template <class T>
STARLING_INLINE inline void backward_row(float* __restrict dx, float* __restrict dw, const T* dy, const float* x,
                                         const float* w, float rstd, int64_t C) {
  float dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t c = 0; c < C; ++c) dot += to_float(dy[c]) * w[c] * x[c];
  const float pull = dot / static_cast<float>(C) * rstd * rstd * rstd;
  for (int64_t c = 0; c < C; ++c) {
    const float gradient = to_float(dy[c]);
    dx[c] += rstd * gradient * w[c] - pull * x[c];
    dw[c] += gradient * x[c] * rstd;
  }
}

}  // namespace

template <>
void Kernels<Device::cpu>::rmsnorm_forward(Tensor y, Tensor rstd, ConstTensor x, ConstTensor w, float eps) {
  const int64_t C = x.extent(1);
  dispatch_float(y.dtype(), "rmsnorm y", [&]<class T>(T) {
    parallel_for(x.extent(0), kRowGrain, [&](int64_t begin, int64_t end) {
      with_widest_vectors([&]() STARLING_INLINE {
        for (int64_t n = begin; n < end; ++n)
          forward_row(y.as<T>() + n * C, rstd.as<float>()[n], x.as<float>() + n * C, w.as<float>(), C, eps);
      });
    });
  });
}

template <>
void Kernels<Device::cpu>::rmsnorm_backward(Tensor dx, Tensor dw, ConstTensor dy, ConstTensor x, ConstTensor w,
                                            ConstTensor rstd) {
  const int64_t N = x.extent(0), C = x.extent(1);
  std::vector<float> partial(static_cast<size_t>(kPartialSums * C), 0.0f);
  dispatch_float(dy.dtype(), "rmsnorm dy", [&]<class T>(T) {
    parallel_for(kPartialSums, 1, [&](int64_t begin, int64_t end) {
      with_widest_vectors([&]() STARLING_INLINE {
        for (int64_t part = begin; part < end; ++part)
          for (int64_t n = N * part / kPartialSums; n < N * (part + 1) / kPartialSums; ++n)
            backward_row(dx.as<float>() + n * C, partial.data() + part * C, dy.as<T>() + n * C, x.as<float>() + n * C,
                         w.as<float>(), rstd.as<float>()[n], C);
      });
    });
  });
  for (int64_t part = 0; part < kPartialSums; ++part)
    for (int64_t c = 0; c < C; ++c) dw.as<float>()[c] += partial[static_cast<size_t>(part * C + c)];
}

}  // namespace starling

#include "core/threads.h"
#include "ops/kernels.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

constexpr int64_t kRowGrain = 32, kColumnGrain = 64;

}  // namespace

template <>
void Kernels<Device::cpu>::bias_forward(Tensor y, ConstTensor bias) {
  const int64_t N = y.extent(0), O = y.extent(1);
  const float* b = bias.as<float>();
  dispatch_float(y.dtype(), "bias y", [&]<class T>(T) {
    parallel_for(N, kRowGrain, [&](int64_t begin, int64_t end) {
      with_widest_vectors([&]() STARLING_INLINE {
        for (int64_t n = begin; n < end; ++n) {
          T* __restrict row = y.as<T>() + n * O;
          for (int64_t o = 0; o < O; ++o) row[o] = from_float<T>(to_float(row[o]) + b[o]);
        }
      });
    });
  });
}

template <>
void Kernels<Device::cpu>::bias_backward(Tensor dbias, ConstTensor dy) {
  const int64_t N = dy.extent(0), O = dy.extent(1);
  float* db = dbias.as<float>();
  dispatch_float(dy.dtype(), "bias dy", [&]<class T>(T) {
    parallel_for(O, kColumnGrain, [&](int64_t begin, int64_t end) {
      with_widest_vectors([&]() STARLING_INLINE {
        for (int64_t n = 0; n < N; ++n) {
          const T* __restrict row = dy.as<T>() + n * O;
          for (int64_t o = begin; o < end; ++o) db[o] += to_float(row[o]);
        }
      });
    });
  });
}

}  // namespace starling

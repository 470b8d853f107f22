#include <algorithm>
#include <vector>

#include "core/threads.h"
#include "ops/kernels.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

constexpr int64_t kGrain = 16384;

template <class To, class From>
STARLING_INLINE inline void convert_range(To* __restrict y, const From* __restrict x, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) y[i] = from_float<To>(to_float(x[i]));
}

}  // namespace

template <>
void Kernels<Device::cpu>::convert(Tensor y, ConstTensor x) {
  dispatch_float(y.dtype(), "convert y", [&]<class To>(To) {
    dispatch_float(x.dtype(), "convert x", [&]<class From>(From) {
      parallel_for(x.elements(), kGrain, [&](int64_t begin, int64_t end) {
        with_widest_vectors([&]() STARLING_INLINE { convert_range(y.as<To>(), x.as<From>(), begin, end); });
      });
    });
  });
}

template <>
void Kernels<Device::cpu>::add(Tensor y, ConstTensor x) {
  float* sums = y.as<float>();
  const float* values = x.as<float>();
  parallel_for(x.elements(), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sums[i] += values[i];
  });
}

template <>
void Kernels<Device::cpu>::scale(Tensor x, float factor) {
  float* values = x.as<float>();
  parallel_for(x.elements(), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) values[i] *= factor;
  });
}

template <>
double Kernels<Device::cpu>::sum_of_squares(ConstTensor x) {
  constexpr int64_t kRange = 4096;
  const float* values = x.as<float>();
  const int64_t ranges = (x.elements() + kRange - 1) / kRange;
  std::vector<float> partial(static_cast<size_t>(ranges));
  parallel_for(ranges, 4, [&](int64_t begin, int64_t end) {
    for (int64_t range = begin; range < end; ++range) {
      float sum = 0;
      const int64_t last = std::min(x.elements(), (range + 1) * kRange);
#pragma omp simd reduction(+ : sum)
      for (int64_t i = range * kRange; i < last; ++i) sum += values[i] * values[i];
      partial[static_cast<size_t>(range)] = sum;
    }
  });
  double total = 0;
  for (float sum : partial) total += sum;
  return total;
}

}  // namespace starling

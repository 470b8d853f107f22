#include <fmt/format.h>

#include <cstring>
#include <vector>

#include "core/error.h"
#include "core/threads.h"
#include "ops/expert_rows.h"
#include "ops/profile.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

constexpr int64_t kRowGrain = 32;

// y += factor x
template <class T>
STARLING_INLINE inline void add_row(float* __restrict y, const T* x, float factor, int64_t C) {
  for (int64_t c = 0; c < C; ++c) y[c] += factor * to_float(x[c]);
}

template <class T>
STARLING_INLINE inline float backward_row(T* __restrict dx, const T* dy, const T* x, float factor, int64_t C) {
  float dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t c = 0; c < C; ++c) dot += to_float(dy[c]) * to_float(x[c]);
  for (int64_t c = 0; c < C; ++c) dx[c] = from_float<T>(factor * to_float(dy[c]));
  return dot;
}

// `token` [N,C] and `row` [NK,C] are what an operator reads and writes, in either order.
void check(const ConstTensor& token, const ConstTensor& row, const ConstTensor& rows) {
  const int64_t N = rows.extent(0), K = rows.extent(1), C = token.extent(1);
  require_shape(rows, DType::i32, {N, K}, "expert rows");
  require_shape(token, token.dtype(), {N, C}, "expert rows' tokens");
  require_shape(row, row.dtype(), {N * K, C}, "expert rows' matrix");
}

ProfiledOperator profiled(const char* name, const ConstTensor& token, const ConstTensor& row) {
  return {name, 2.0 * static_cast<double>(row.elements()), static_cast<double>(token.bytes() + row.bytes())};
}

// y[n,:] += sum_k factor(n,k) x[rows[n,k],:]
template <class Factor>
void add_rows(Tensor y, ConstTensor x, ConstTensor rows, const Factor& factor) {
  const int64_t N = rows.extent(0), K = rows.extent(1), C = y.extent(1);
  dispatch_float(x.dtype(), "expert rows x", [&]<class T>(T) {
    parallel_for(N, kRowGrain, [&](int64_t begin, int64_t end) {
      with_widest_vectors([&]() STARLING_INLINE {
        for (int64_t n = begin; n < end; ++n)
          for (int64_t k = 0; k < K; ++k)
            add_row(y.as<float>() + n * C, x.as<T>() + rows.as<int32_t>()[n * K + k] * C, factor(n * K + k), C);
      });
    });
  });
}

}  // namespace

void sort_expert_rows(Tensor rows, Tensor load, ConstTensor chosen) {
  const int64_t E = load.extent(0), count = chosen.elements();
  require_shape(load, DType::i32, {E}, "expert rows load");
  require_shape(chosen, DType::i32, {chosen.extent(0), chosen.extent(1)}, "expert rows chosen");
  require_shape(rows, DType::i32, chosen.shape(), "expert rows");
  const int32_t* expert = chosen.as<int32_t>();
  int32_t* loads = load.as<int32_t>();
  std::memset(loads, 0, static_cast<size_t>(load.bytes()));
  for (int64_t i = 0; i < count; ++i) {
    if (expert[i] < 0 || expert[i] >= E)
      throw DataError(
          fmt::format("expert {} of token {} is outside the {} experts", expert[i], i / chosen.extent(1), E));
    ++loads[expert[i]];
  }
  std::vector<int32_t> next(static_cast<size_t>(E), 0);
  for (size_t e = 1; e < next.size(); ++e) next[e] = next[e - 1] + loads[e - 1];
  for (int64_t i = 0; i < count; ++i) rows.as<int32_t>()[i] = next[static_cast<size_t>(expert[i])]++;
}

void gather_expert_rows(Tensor y, ConstTensor x, ConstTensor rows) {
  check(x, y, rows);
  require_shape(x, y.dtype(), x.shape(), "expert rows x");
  const ProfiledOperator timed = profiled("expert rows gather", x, y);
  const int64_t N = rows.extent(0), K = rows.extent(1);
  const auto bytes = static_cast<size_t>(x.extent(1) * size_of(x.dtype()));
  const auto* from = static_cast<const std::byte*>(x.data());
  auto* to = static_cast<std::byte*>(y.data());
  parallel_for(N, kRowGrain, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n)
      for (int64_t k = 0; k < K; ++k) {
        const auto row = static_cast<size_t>(rows.as<int32_t>()[n * K + k]);
        std::memcpy(to + row * bytes, from + static_cast<size_t>(n) * bytes, bytes);
      }
  });
}

void gather_expert_rows_backward(Tensor dx, ConstTensor dy, ConstTensor rows) {
  check(dx, dy, rows);
  const ProfiledOperator timed = profiled("expert rows gather backward", dx, dy);
  add_rows(dx, dy, rows, [](int64_t) STARLING_INLINE { return 1.0f; });
}

void combine_expert_rows(Tensor y, ConstTensor x, ConstTensor rows, ConstTensor w) {
  check(y, x, rows);
  require_shape(w, DType::f32, rows.shape(), "expert rows w");
  const ProfiledOperator timed = profiled("expert rows combine", y, x);
  const float* weights = w.as<float>();
  add_rows(y, x, rows, [weights](int64_t i) STARLING_INLINE { return weights[i]; });
}

void combine_expert_rows_backward(Tensor dx, Tensor dw, ConstTensor dy, ConstTensor x, ConstTensor rows,
                                  ConstTensor w) {
  check(dy, x, rows);
  require_shape(dx, dy.dtype(), x.shape(), "expert rows dx");
  require_shape(x, dy.dtype(), x.shape(), "expert rows x");
  require_shape(w, DType::f32, rows.shape(), "expert rows w");
  require_shape(dw, DType::f32, rows.shape(), "expert rows dw");
  const ProfiledOperator timed = profiled("expert rows combine backward", dy, x);
  const int64_t N = rows.extent(0), K = rows.extent(1), C = dy.extent(1);
  dispatch_float(dy.dtype(), "expert rows dy", [&]<class T>(T) {
    parallel_for(N, kRowGrain, [&](int64_t begin, int64_t end) {
      with_widest_vectors([&]() STARLING_INLINE {
        for (int64_t i = begin * K; i < end * K; ++i) {
          const int64_t row = rows.as<int32_t>()[i] * C;
          dw.as<float>()[i] =
              backward_row(dx.as<T>() + row, dy.as<T>() + i / K * C, x.as<T>() + row, w.as<float>()[i], C);
        }
      });
    });
  });
}

}  // namespace starling

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "core/error.h"
#include "core/threads.h"
#include "ops/attention_tiles.h"
#include "ops/kernels.h"
#include "ops/vector_math.h"

namespace starling {
namespace {

constexpr int64_t kBlock =
    64;  // rows of queries at a time; keys start at a multiple of it, so that few product shapes occur

// What one task works on: one head of one sequence.
struct Head {
  ConstMatrix q, k, v;    // [T, D]
  const int32_t* starts;  // [T]
  int64_t length, head_size;
  float scale;  // 1 / sqrt(D)
  float cap;
};

struct Range {
  int64_t first_row, rows, first_key, keys;
};

Range block_range(const Head& head, int64_t first_row) {
  const int64_t rows = std::min(kBlock, head.length - first_row);
  const int64_t first_key = head.starts[first_row] / kBlock * kBlock;
  return {first_row, rows, first_key, first_row + rows - first_key};
}

template <class T>
Head head_of(ConstTensor qkv, ConstTensor starts, const AttentionShape& s, int64_t sequence, int64_t head) {
  const ConstMatrix all = block(as_matrix(qkv), sequence * s.length, s.length, 0, qkv.extent(1));
  const int64_t D = s.head_size, kv_head = head / (s.heads / s.kv_heads);
  const auto columns = [&](int64_t first) { return block(all, 0, s.length, first * D, D); };
  return {columns(head),
          columns(s.heads + kv_head),
          columns(s.heads + s.kv_heads + kv_head),
          starts.as<int32_t>() + sequence * s.length,
          s.length,
          D,
          1.0f / std::sqrt(static_cast<float>(D)),
          s.cap};
}

Matrix scratch_matrix(std::vector<float>& storage, int64_t rows, int64_t columns) {
  storage.resize(std::max(storage.size(), static_cast<size_t>(rows * columns)));
  return {ConstMatrix{storage.data(), DType::f32, rows, columns, columns, 1}};
}

template <class T>
Matrix scratch_matrix_of(std::vector<T>& storage, int64_t rows, int64_t columns) {
  storage.resize(std::max(storage.size(), static_cast<size_t>(rows * columns)));
  return {ConstMatrix{storage.data(), dtype_of<T>(), rows, columns, columns, 1}};
}

// Working memory of one thread, kept between calls.
template <class T>
struct Scratch {
  std::vector<float> scores, dscores, dk, dv;
  std::vector<T> p, ds;
};

template <class T>
Scratch<T>& scratch() {
  thread_local Scratch<T> scratch;
  return scratch;
}

// scores[j] = cap tanh(scores[j] * scale / cap),  tanh(x) = 1 - 2 / (e^2x + 1)
STARLING_INLINE inline void cap_row(float* __restrict scores, int64_t begin, int64_t end, float scale, float cap) {
  const float doubled = 2.0f * scale / cap;
  for (int64_t j = begin; j < end; ++j) scores[j] = cap - 2.0f * cap / (fast_exp(scores[j] * doubled) + 1.0f);
}

// p[j] = softmax over the visible keys [begin, end) of one row, 0 elsewhere; returns the row's lse.
template <class T>
STARLING_INLINE inline float softmax_row(T* __restrict p, float* __restrict scores, int64_t keys, int64_t begin,
                                         int64_t end, float scale) {
  float largest = scores[begin];
#pragma omp simd reduction(max : largest)
  for (int64_t j = begin; j < end; ++j) largest = std::max(largest, scores[j]);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = begin; j < end; ++j) {
    scores[j] = fast_exp((scores[j] - largest) * scale);
    sum += scores[j];
  }
  std::fill(p, p + begin, T{});
  const float inverse = 1.0f / sum;
  for (int64_t j = begin; j < end; ++j) p[j] = from_float<T>(scores[j] * inverse);
  std::fill(p + end, p + keys, T{});
  return largest * scale + std::log(sum);
}

template <class T>
void forward_head(const Head& head, Matrix out, float* lse) {
  Scratch<T>& memory = scratch<T>();
  for (int64_t first = 0; first < head.length; first += kBlock) {
    const Range r = block_range(head, first);
    const Matrix scores = scratch_matrix(memory.scores, r.rows, r.keys),
                 p = scratch_matrix_of(memory.p, r.rows, r.keys);
    matmul_serial(scores, block(head.q, r.first_row, r.rows, 0, head.head_size),
                  transposed(block(head.k, r.first_key, r.keys, 0, head.head_size)));
    with_widest_vectors([&]() STARLING_INLINE {
      for (int64_t i = 0; i < r.rows; ++i) {
        const int64_t row = r.first_row + i, begin = head.starts[row] - r.first_key, end = row + 1 - r.first_key;
        float* of_row = memory.scores.data() + i * r.keys;
        if (head.cap > 0) cap_row(of_row, begin, end, head.scale, head.cap);
        lse[row] =
            softmax_row(memory.p.data() + i * r.keys, of_row, r.keys, begin, end, head.cap > 0 ? 1.0f : head.scale);
      }
    });
    matmul_serial(block(out, r.first_row, r.rows, 0, head.head_size), p,
                  block(head.v, r.first_key, r.keys, 0, head.head_size));
  }
}

// p from the scores and lse; ds = p (dp - sum_s p dp) * scale, times 1 - (score / cap)^2 where scores are capped. Only
// the visible keys [begin, end) are not 0.
template <bool capped, class T>
STARLING_INLINE inline void backward_row(T* __restrict p, T* __restrict ds, const float* __restrict scores,
                                         const float* __restrict dp, int64_t keys, int64_t begin, int64_t end,
                                         float scale, float cap, float lse, float mean_dp) {
  std::fill(p, p + begin, T{});
  std::fill(ds, ds + begin, T{});
  for (int64_t j = begin; j < end; ++j) {
    const float probability = fast_exp(capped ? scores[j] - lse : scores[j] * scale - lse);
    p[j] = from_float<T>(probability);
    const float slope = capped ? scale * (1.0f - scores[j] / cap * (scores[j] / cap)) : scale;
    ds[j] = from_float<T>(probability * (dp[j] - mean_dp) * slope);
  }
  std::fill(p + end, p + keys, T{});
  std::fill(ds + end, ds + keys, T{});
}

// sum_s p[t,s] dp[t,s] = out[t] . dout[t]
template <class T>
STARLING_INLINE inline float row_dot(const ConstMatrix& a, const ConstMatrix& b, int64_t row) {
  const T* x = static_cast<const T*>(a.data) + row * a.row_stride;
  const T* y = static_cast<const T*>(b.data) + row * b.row_stride;
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t d = 0; d < a.columns; ++d) sum += to_float(x[d]) * to_float(y[d]);
  return sum;
}

// Assigns dq of this head; adds to dk and dv [T, D] f32 of its key head.
template <class T>
void backward_head(const Head& head, Matrix dq, Matrix dk, Matrix dv, ConstMatrix out, ConstMatrix dout,
                   const float* lse) {
  Scratch<T>& memory = scratch<T>();
  const int64_t D = head.head_size;
  for (int64_t first = 0; first < head.length; first += kBlock) {
    const Range r = block_range(head, first);
    const Matrix scores = scratch_matrix(memory.scores, r.rows, r.keys),
                 dp = scratch_matrix(memory.dscores, r.rows, r.keys);
    const Matrix p = scratch_matrix_of(memory.p, r.rows, r.keys), ds = scratch_matrix_of(memory.ds, r.rows, r.keys);
    const ConstMatrix q = block(head.q, r.first_row, r.rows, 0, D), k = block(head.k, r.first_key, r.keys, 0, D);
    const ConstMatrix dout_block = block(dout, r.first_row, r.rows, 0, D);
    matmul_serial(scores, q, transposed(k));
    matmul_serial(dp, dout_block, transposed(block(head.v, r.first_key, r.keys, 0, D)));
    with_widest_vectors([&]() STARLING_INLINE {
      for (int64_t i = 0; i < r.rows; ++i) {
        const int64_t row = r.first_row + i, at = i * r.keys;
        const int64_t begin = head.starts[row] - r.first_key, end = row + 1 - r.first_key;
        const auto backward = [&](auto capped) STARLING_INLINE {
          backward_row<capped>(memory.p.data() + at, memory.ds.data() + at, memory.scores.data() + at,
                               memory.dscores.data() + at, r.keys, begin, end, head.scale, head.cap, lse[row],
                               row_dot<T>(out, dout, row));
        };
        if (head.cap > 0) {
          cap_row(memory.scores.data() + at, begin, end, head.scale, head.cap);
          backward(std::true_type());
        } else {
          backward(std::false_type());
        }
      }
    });
    matmul_serial(block(dq, r.first_row, r.rows, 0, D), ds, k);
    matmul_serial(block(dk, r.first_key, r.keys, 0, D), transposed(ds), q, Accumulate::yes);
    matmul_serial(block(dv, r.first_key, r.keys, 0, D), transposed(p), dout_block, Accumulate::yes);
  }
}

template <class T>
void store(Matrix target, const Matrix& values) {
  const float* source = static_cast<const float*>(values.data);
  T* to = static_cast<T*>(const_cast<void*>(target.data));
  for (int64_t row = 0; row < target.rows; ++row)
    for (int64_t d = 0; d < target.columns; ++d)
      to[row * target.row_stride + d] = from_float<T>(source[row * values.columns + d]);
}

void check_starts(const ConstTensor& starts, const AttentionShape& s) {
  const int32_t* start = starts.as<int32_t>();
  for (int64_t n = 0; n < s.sequences * s.length; ++n) {
    const bool grows = n % s.length == 0 || start[n] >= start[n - 1];
    if (start[n] < 0 || start[n] > n % s.length || !grows)
      throw ShapeError("attention: document_starts must grow and not pass their row");
  }
}

}  // namespace

template <>
void Kernels<Device::cpu>::attention_forward(Tensor out, Tensor lse, ConstTensor qkv, ConstTensor document_starts,
                                             const AttentionShape& s) {
  check_starts(document_starts, s);
  if (const auto unit = attention_unit(out.dtype(), s))
    return attention_forward_in_tiles(*unit, out, lse, qkv, document_starts, s);
  dispatch_float(out.dtype(), "attention out", [&]<class T>(T) {
    parallel_for(s.sequences * s.heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t sequence = task / s.heads, h = task % s.heads;
        forward_head<T>(head_of<T>(qkv, document_starts, s, sequence, h),
                        block(as_matrix(out), sequence * s.length, s.length, h * s.head_size, s.head_size),
                        lse.as<float>() + task * s.length);
      }
    });
  });
}

template <>
void Kernels<Device::cpu>::attention_backward(Tensor dqkv, ConstTensor dout, ConstTensor qkv, ConstTensor out,
                                              ConstTensor lse, ConstTensor document_starts, const AttentionShape& s) {
  check_starts(document_starts, s);
  if (const auto unit = attention_unit(out.dtype(), s))
    return attention_backward_in_tiles(*unit, dqkv, dout, qkv, out, lse, document_starts, s);
  const int64_t group = s.heads / s.kv_heads, D = s.head_size, T_ = s.length;
  dispatch_float(out.dtype(), "attention out", [&]<class T>(T) {
    parallel_for(s.sequences * s.kv_heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t first = task / s.kv_heads * T_, kv_head = task % s.kv_heads;
        Scratch<T>& memory = scratch<T>();
        const Matrix dk = scratch_matrix(memory.dk, T_, D), dv = scratch_matrix(memory.dv, T_, D);
        std::fill(memory.dk.begin(), memory.dk.end(), 0.0f);
        std::fill(memory.dv.begin(), memory.dv.end(), 0.0f);
        const auto gradient = [&](int64_t column) { return block(as_matrix(dqkv), first, T_, column * D, D); };
        for (int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h)
          backward_head<T>(head_of<T>(qkv, document_starts, s, first / T_, h), gradient(h), dk, dv,
                           block(as_matrix(out), first, T_, h * D, D), block(as_matrix(dout), first, T_, h * D, D),
                           lse.as<float>() + (first / T_ * s.heads + h) * T_);
        store<T>(gradient(s.heads + kv_head), dk);
        store<T>(gradient(s.heads + s.kv_heads + kv_head), dv);
      }
    });
  });
}

}  // namespace starling

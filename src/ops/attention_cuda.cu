#include <cmath>

#include "core/error.h"
#include "ops/attention_cuda.cuh"
#include "ops/kernels.h"

namespace starling {
namespace cuda {
namespace {

constexpr int kRowsOfBlock = 4;  // a warp each
constexpr int kThreads = 256;
constexpr int kMostHead = 256;
constexpr int kParts = kMostHead / kWarp;  // a lane holds columns lane, lane + 32, ...

__global__ void check_starts(const int32_t* starts, int64_t rows, int64_t length, Fault* fault) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (n >= rows) return;
  const bool grows = n % length == 0 || starts[n] >= starts[n - 1];
  if (starts[n] < 0 || starts[n] > n % length || !grows) *fault = Fault::document_start;
}

// delta[b,h,t] = sum_d out dout
template <class T>
__global__ void delta_kernel(float* delta, const T* out, const T* dout, AttentionLayout l, int64_t rows) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kRowsOfBlock + threadIdx.y;  // a row's head
  const int64_t n = at / l.heads, h = at % l.heads;
  if (n >= rows) return;
  out += n * l.out_stride() + h * l.head_size, dout += n * l.out_stride() + h * l.head_size;
  float sum = 0;
  for (int64_t d = threadIdx.x; d < l.head_size; d += kWarp) sum += wide(out[d]) * wide(dout[d]);
  sum = warp_sum(sum);
  if (threadIdx.x == 0) delta[(n / l.length * l.heads + h) * l.length + n % l.length] = sum;
}

// One warp's row: its columns in shared memory, so that every lane can read all of them.
template <class T>
__device__ void load_row(float* shared, const T* row, int64_t size) {
  for (int64_t d = threadIdx.x; d < size; d += kWarp) shared[d] = wide(row[d]);
  __syncwarp();
}

template <class T>
__device__ float dot(const float* shared, const T* row, int64_t size) {
  float sum = 0;
  for (int64_t d = 0; d < size; ++d) sum += shared[d] * wide(row[d]);
  return sum;
}

// sums[part] += sum_j weight_j rows[j][columns of this lane]; lane j holds weight_j.
template <class T>
__device__ void add_rows(float (&sums)[kParts], float weight, const T* rows, int64_t stride, int count, int64_t size) {
  for (int j = 0; j < count; ++j) {
    const float w = __shfl_sync(0xffffffffu, weight, j);
#pragma unroll
    for (int part = 0; part < kParts; ++part)
      if (const int64_t d = threadIdx.x + part * kWarp; d < size) sums[part] += w * wide(rows[j * stride + d]);
  }
}

template <class T>
__device__ void store_row(T* row, const float (&sums)[kParts], float factor, int64_t size) {
#pragma unroll
  for (int part = 0; part < kParts; ++part)
    if (const int64_t d = threadIdx.x + part * kWarp; d < size) row[d] = narrow<T>(sums[part] * factor);
}

// The row and head of a warp; grid: rows of all sequences, heads.
struct Place {
  int64_t first, t, head;  // first row of the sequence, place in it
  __device__ Place(const AttentionLayout& l, int64_t rows)
      : first(0), t(static_cast<int64_t>(blockIdx.x) * kRowsOfBlock + threadIdx.y), head(blockIdx.y) {
    inside = t < rows;
    first = t / l.length * l.length;
    t -= first;
  }
  __device__ int64_t row() const { return first + t; }
  __device__ int64_t of_head(const AttentionLayout& l, int64_t h) const {
    return (first / l.length * l.heads + h) * l.length;
  }
  bool inside;
};

template <class T>
__global__ void forward_kernel(AttentionForward<T> a, AttentionLayout l, int64_t rows) {
  __shared__ float queries[kRowsOfBlock][kMostHead];
  const Place at(l, rows);
  if (!at.inside) return;
  const int64_t D = l.head_size, stride = l.stride(), kv = at.head / l.group();
  float* q = queries[threadIdx.y];
  load_row(q, a.qkv + at.row() * stride + l.query(at.head), D);
  float largest = -INFINITY, sum = 0, out[kParts] = {};
  for (int64_t base = max(0, a.starts[at.row()]); base <= at.t; base += kWarp) {
    const int count = static_cast<int>(min(int64_t{kWarp}, at.t + 1 - base));
    const T* keys = a.qkv + (at.first + base) * stride;
    const bool mine = static_cast<int>(threadIdx.x) < count;
    const float score = mine ? l.scale * dot(q, keys + threadIdx.x * stride + l.key(kv), D) : -INFINITY;
    const float before = largest;
    largest = fmaxf(largest, warp_max(score));
    const float p = expf(score - largest), kept = expf(before - largest);
    sum = sum * kept + warp_sum(p);
    for (float& value : out) value *= kept;
    add_rows(out, p, keys + l.value(kv), stride, count, D);
  }
  store_row(a.out + at.row() * l.out_stride() + at.head * D, out, 1.0f / sum, D);
  if (threadIdx.x == 0) a.lse[at.of_head(l, at.head) + at.t] = largest + logf(sum);
}

template <class T>
__global__ void query_gradient_kernel(AttentionBackward<T> a, AttentionLayout l, int64_t rows) {
  __shared__ float queries[kRowsOfBlock][kMostHead], gradients[kRowsOfBlock][kMostHead];
  const Place at(l, rows);
  if (!at.inside) return;
  const int64_t D = l.head_size, stride = l.stride(), kv = at.head / l.group();
  float *q = queries[threadIdx.y], *dout = gradients[threadIdx.y];
  load_row(q, a.qkv + at.row() * stride + l.query(at.head), D);
  load_row(dout, a.dout + at.row() * l.out_stride() + at.head * D, D);
  const float lse = a.lse[at.of_head(l, at.head) + at.t], delta = a.delta[at.of_head(l, at.head) + at.t];
  float dq[kParts] = {};
  for (int64_t base = max(0, a.starts[at.row()]); base <= at.t; base += kWarp) {
    const int count = static_cast<int>(min(int64_t{kWarp}, at.t + 1 - base));
    const T* keys = a.qkv + (at.first + base) * stride;
    float ds = 0;
    if (static_cast<int>(threadIdx.x) < count) {
      const T* row = keys + threadIdx.x * stride;
      const float p = expf(l.scale * dot(q, row + l.key(kv), D) - lse);
      ds = p * (dot(dout, row + l.value(kv), D) - delta) * l.scale;
    }
    add_rows(dq, ds, keys + l.key(kv), stride, count, D);
  }
  store_row(a.dqkv + at.row() * stride + l.query(at.head), dq, 1.0f, D);
}

// A warp does one key's row: the queries of its own document that come after it.
template <class T>
__global__ void key_gradient_kernel(AttentionBackward<T> a, AttentionLayout l, int64_t rows) {
  __shared__ float keys[kRowsOfBlock][kMostHead], values[kRowsOfBlock][kMostHead];
  const Place at(l, rows);
  if (!at.inside) return;
  const int64_t D = l.head_size, stride = l.stride(), out_stride = l.out_stride(), kv = at.head;
  float *k = keys[threadIdx.y], *v = values[threadIdx.y];
  load_row(k, a.qkv + at.row() * stride + l.key(kv), D);
  load_row(v, a.qkv + at.row() * stride + l.value(kv), D);
  float dk[kParts] = {}, dv[kParts] = {};
  for (int64_t h = kv * l.group(); h < (kv + 1) * l.group(); ++h)
    for (int64_t base = at.t; base < l.length && a.starts[at.first + base] <= at.t; base += kWarp) {
      const int count = static_cast<int>(min(int64_t{kWarp}, l.length - base));
      const T* queries = a.qkv + (at.first + base) * stride + l.query(h);
      const T* douts = a.dout + (at.first + base) * out_stride + h * D;
      float p = 0, ds = 0;
      if (const int64_t t = base + threadIdx.x; t < l.length && a.starts[at.first + t] <= at.t) {
        p = expf(l.scale * dot(k, queries + threadIdx.x * stride, D) - a.lse[at.of_head(l, h) + t]);
        ds = p * (dot(v, douts + threadIdx.x * out_stride, D) - a.delta[at.of_head(l, h) + t]) * l.scale;
      }
      add_rows(dv, p, douts, out_stride, count, D);
      add_rows(dk, ds, queries, stride, count, D);
    }
  store_row(a.dqkv + at.row() * stride + l.key(kv), dk, 1.0f, D);
  store_row(a.dqkv + at.row() * stride + l.value(kv), dv, 1.0f, D);
}

AttentionLayout layout_of(const AttentionShape& s) {
  if (s.head_size > kMostHead) throw ShapeError("attention: heads on a GPU have at most 256 columns");
  return {s.length, s.heads, s.kv_heads, s.head_size, 1.0f / std::sqrt(static_cast<float>(s.head_size))};
}

template <class T>
constexpr bool kIsBf16 = sizeof(T) == 2;

}  // namespace
}  // namespace cuda

using namespace cuda;

template <>
void Kernels<Device::cuda>::attention_forward(Tensor out, Tensor lse, ConstTensor qkv, ConstTensor starts,
                                              const AttentionShape& s) {
  const int64_t N = s.sequences * s.length;
  if (N == 0) return;
  const AttentionLayout layout = layout_of(s);
  check_starts<<<blocks_for(N, kThreads), kThreads>>>(pointer<int32_t>(starts), N, s.length, fault_place());
  dispatch_float(out.dtype(), "attention out", [&]<class T>(T) {
    const AttentionForward<on_device<T>> a{pointer<T>(out), pointer<float>(lse), pointer<T>(qkv),
                                           pointer<int32_t>(starts)};
    if constexpr (kIsBf16<T>)
      if (attention_on_tensor_cores(s.head_size)) return attention_forward_on_tensor_cores(a, layout, s.sequences);
    const dim3 grid(blocks_for(N, kRowsOfBlock), static_cast<unsigned>(s.heads));
    forward_kernel<<<grid, dim3(kWarp, kRowsOfBlock)>>>(a, layout, N);
  });
  launched("attention forward");
}

template <>
void Kernels<Device::cuda>::attention_backward(Tensor dqkv, ConstTensor dout, ConstTensor qkv, ConstTensor out,
                                               ConstTensor lse, ConstTensor starts, const AttentionShape& s) {
  const int64_t N = s.sequences * s.length;
  if (N == 0) return;
  const AttentionLayout layout = layout_of(s);
  auto* delta = static_cast<float*>(scratch(static_cast<size_t>(lse.bytes())));
  dispatch_float(out.dtype(), "attention out", [&]<class T>(T) {
    const dim3 block(kWarp, kRowsOfBlock);
    delta_kernel<<<blocks_for(N * s.heads, kRowsOfBlock), block>>>(delta, pointer<T>(out), pointer<T>(dout), layout, N);
    const AttentionBackward<on_device<T>> a{
        pointer<T>(dqkv), pointer<T>(dout), pointer<T>(qkv), pointer<float>(lse), delta, pointer<int32_t>(starts)};
    if constexpr (kIsBf16<T>)
      if (attention_on_tensor_cores(s.head_size)) return attention_backward_on_tensor_cores(a, layout, s.sequences);
    const unsigned blocks = blocks_for(N, kRowsOfBlock);
    query_gradient_kernel<<<dim3(blocks, static_cast<unsigned>(s.heads)), block>>>(a, layout, N);
    key_gradient_kernel<<<dim3(blocks, static_cast<unsigned>(s.kv_heads)), block>>>(a, layout, N);
  });
  launched("attention backward");
}

}  // namespace starling

// Attention in bf16 on the tensor cores, in tiles that stay in registers and shared memory.
// Source: Dao 2023, arXiv:2307.08691 (FlashAttention-2). Unlike there, backward is two kernels, one that goes over the
// keys of a tile of queries and one the other way round: no sum is made by atomic additions, so a run repeats.
//
// A warp multiplies 16 rows at a time with mma.m16n8k16. Of a 16 x 8 tile of sums, lane 4 g + t holds columns 2t and
// 2t + 1 of row g, then of row g + 8 (PTX ISA, "Matrix Fragments for mma.m16n8k16").
#include "ops/attention_cuda.cuh"

namespace starling::cuda {
namespace {

constexpr int kWarps = 4, kRows = 16;  // rows of a warp
constexpr int kTile = kWarps * kRows;  // rows of a block
constexpr int kThreads = kWarps * kWarp;
constexpr int kPad = 8;  // elements after each row of shared memory, against bank conflicts

using Sums = float[4];     // of a 16 x 8 tile
using Left = uint32_t[4];  // a 16 x 16 tile of a left operand

struct Lane {
  int g, t;
};
__device__ Lane lane() { return {static_cast<int>(threadIdx.x % kWarp / 4), static_cast<int>(threadIdx.x % 4)}; }
__device__ int warp() { return static_cast<int>(threadIdx.x / kWarp); }

__device__ void multiply_add(Sums& c, const Left& a, uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ uint32_t pair_at(const device_bf16* p) { return *reinterpret_cast<const uint32_t*>(p); }

__device__ uint32_t packed(float low, float high) {
  const __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&both);
}

// Sums of two neighbouring 16 x 8 tiles are, rounded, a 16 x 16 left operand.
__device__ void as_left(Left& a, const Sums& first, const Sums& second) {
  a[0] = packed(first[0], first[1]);
  a[1] = packed(first[2], first[3]);
  a[2] = packed(second[0], second[1]);
  a[3] = packed(second[2], second[3]);
}

// A tile of `Rows` rows of one head in shared memory; rows at or beyond `end` are zeros.
template <int D, int Rows>
struct Tile {
  device_bf16 rows[Rows][D + kPad];

  __device__ void load(const device_bf16* from, int64_t stride, int64_t first, int64_t end) {
    constexpr int kChunks = D / 8;  // of 16 bytes
    for (int i = threadIdx.x; i < Rows * kChunks; i += kThreads) {
      const int row = i / kChunks, column = i % kChunks * 8;
      uint4 chunk = {0, 0, 0, 0};
      if (first + row < end) chunk = *reinterpret_cast<const uint4*>(from + (first + row) * stride + column);
      *reinterpret_cast<uint4*>(&rows[row][column]) = chunk;
    }
  }

  // The left operand of rows [first, first + 16), columns [16 k, 16 k + 16).
  __device__ void left(Left& a, int first, int k) const {
    const Lane l = lane();
    a[0] = pair_at(&rows[first + l.g][k * 16 + 2 * l.t]);
    a[1] = pair_at(&rows[first + l.g + 8][k * 16 + 2 * l.t]);
    a[2] = pair_at(&rows[first + l.g][k * 16 + 2 * l.t + 8]);
    a[3] = pair_at(&rows[first + l.g + 8][k * 16 + 2 * l.t + 8]);
  }

  // c += a X^T, a [16, D] in the registers `left`, for rows X [8 n, 8 n + 8) of the tile.
  __device__ void multiply_transposed(Sums& c, const Left (&left)[D / 16], int n) const {
    const Lane l = lane();
#pragma unroll
    for (int k = 0; k < D / 16; ++k) {
      const device_bf16* row = &rows[n * 8 + l.g][k * 16 + 2 * l.t];
      multiply_add(c, left[k], pair_at(row), pair_at(row + 8));
    }
  }

  // c[0..D/8) += a X, a [16, 16], for rows X [16 k, 16 k + 16) of the tile.
  __device__ void multiply(Sums (&c)[D / 8], const Left& a, int k) const {
    const int lane_id = threadIdx.x % kWarp;
    const device_bf16* row = &rows[k * 16 + lane_id % 16][lane_id / 16 * 8];
#pragma unroll
    for (int n = 0; n < D / 8; n += 2) {
      uint32_t b[4];
      const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row + n * 8));
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                   : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
                   : "r"(address)
                   : "memory");
      multiply_add(c[n], a, b[0], b[1]);
      multiply_add(c[n + 1], a, b[2], b[3]);
    }
  }
};

template <int D>
__device__ void store(device_bf16* to, int64_t stride, int64_t row, int64_t end, const Sums (&c)[D / 8], float first,
                      float second) {
  const Lane l = lane();
#pragma unroll
  for (int n = 0; n < D / 8; ++n) {
    if (row + l.g < end)
      *reinterpret_cast<uint32_t*>(to + (row + l.g) * stride + n * 8 + 2 * l.t) =
          packed(c[n][0] * first, c[n][1] * first);
    if (row + l.g + 8 < end)
      *reinterpret_cast<uint32_t*>(to + (row + l.g + 8) * stride + n * 8 + 2 * l.t) =
          packed(c[n][2] * second, c[n][3] * second);
  }
}

// What a query row sees: the keys from `start` to itself; nothing when it is beyond the sequence.
struct Visible {
  int start, row;
  __device__ Visible(const int32_t* starts, int64_t t, int64_t length)
      : start(t < length ? starts[t] : INT32_MAX), row(static_cast<int>(t)) {}
  __device__ bool sees(int key) const { return key >= start && key <= row; }
};

// The sums of lanes t = 0..3, which share a row.
__device__ float row_sum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}
__device__ float row_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

// Softmax of one row as its keys come by.
struct Running {
  float largest = -INFINITY, sum = 0;

  // Turns the row's scores (places At and At + 1 of each tile) into e^(score - largest); returns what earlier sums are
  // to be multiplied by.
  template <int At, int N>
  __device__ float take(Sums (&s)[N]) {
    float most = -INFINITY;
#pragma unroll
    for (int n = 0; n < N; ++n) most = fmaxf(most, fmaxf(s[n][At], s[n][At + 1]));
    const float before = largest;
    largest = fmaxf(largest, row_max(most));
    const float shift = largest == -INFINITY ? 0.0f : largest;  // a row that has seen nothing yet
    float added = 0;
#pragma unroll
    for (int n = 0; n < N; ++n)
#pragma unroll
      for (int i = At; i < At + 2; ++i) added += s[n][i] = __expf(s[n][i] - shift);
    const float kept = __expf(before - shift);
    sum = sum * kept + row_sum(added);
    return kept;
  }
};

// Grid: tiles of rows, heads, sequences. The place of this block.
struct Block {
  int64_t first_row, first, head;  // of its tile in the sequence; the sequence's first row
  __device__ explicit Block(const AttentionLayout& l)
      : first_row(static_cast<int64_t>(blockIdx.x) * kTile),
        first(static_cast<int64_t>(blockIdx.z) * l.length),
        head(blockIdx.y) {}
  __device__ int64_t statistics(const AttentionLayout& l, int64_t h) const {  // of lse and delta
    return (static_cast<int64_t>(blockIdx.z) * l.heads + h) * l.length;
  }
};

// The first key tile that a tile of queries sees, and where its keys end.
__device__ int64_t first_key(const int32_t* starts, int64_t first_row) {
  const int64_t start = min(max(int64_t{starts[first_row]}, int64_t{0}), first_row);
  return start / kTile * kTile;
}

template <int D>
__global__ void __launch_bounds__(kThreads) forward_kernel(AttentionForward<device_bf16> a, AttentionLayout l) {
  __shared__ __align__(16) Tile<D, kTile> keys, values;
  const Block block(l);
  const int32_t* starts = a.starts + block.first;
  const device_bf16* qkv = a.qkv + block.first * l.stride();
  const int64_t kv = block.head / l.group(), end = min(l.length, block.first_row + kTile);
  const int64_t row = block.first_row + warp() * kRows;
  const Lane at = lane();
  const Visible upper(starts, row + at.g, l.length), lower(starts, row + at.g + 8, l.length);
  Left q[D / 16];
  keys.load(qkv + l.query(block.head), l.stride(), block.first_row, l.length);
  __syncthreads();
#pragma unroll
  for (int k = 0; k < D / 16; ++k) keys.left(q[k], warp() * kRows, k);
  Sums out[D / 8] = {};
  Running first, second;
  for (int64_t key = first_key(starts, block.first_row); key < end; key += kTile) {
    __syncthreads();
    keys.load(qkv + l.key(kv), l.stride(), key, l.length);
    values.load(qkv + l.value(kv), l.stride(), key, l.length);
    __syncthreads();
    Sums s[kTile / 8] = {};
#pragma unroll
    for (int n = 0; n < kTile / 8; ++n) {
      keys.multiply_transposed(s[n], q, n);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int column = static_cast<int>(key) + n * 8 + 2 * at.t + i % 2;
        s[n][i] = (i < 2 ? upper : lower).sees(column) ? s[n][i] * l.scale : -INFINITY;
      }
    }
    const float kept_first = first.take<0>(s), kept_second = second.take<2>(s);
#pragma unroll
    for (int n = 0; n < D / 8; ++n)
      out[n][0] *= kept_first, out[n][1] *= kept_first, out[n][2] *= kept_second, out[n][3] *= kept_second;
#pragma unroll
    for (int k = 0; k < kTile / 16; ++k) {
      Left p;
      as_left(p, s[2 * k], s[2 * k + 1]);
      values.multiply(out, p, k);
    }
  }
  store<D>(a.out + block.first * l.out_stride() + block.head * D, l.out_stride(), row, l.length, out, 1.0f / first.sum,
           1.0f / second.sum);
  float* lse = a.lse + block.statistics(l, block.head);
  if (at.t == 0 && row + at.g < l.length) lse[row + at.g] = first.largest + logf(first.sum);
  if (at.t == 0 && row + at.g + 8 < l.length) lse[row + at.g + 8] = second.largest + logf(second.sum);
}

// ds = p (dp - delta) / sqrt(D), dq = ds k.
template <int D>
__global__ void __launch_bounds__(kThreads) query_gradient_kernel(AttentionBackward<device_bf16> a, AttentionLayout l) {
  __shared__ __align__(16) Tile<D, kTile> keys, values;
  const Block block(l);
  const int32_t* starts = a.starts + block.first;
  const device_bf16* qkv = a.qkv + block.first * l.stride();
  const int64_t kv = block.head / l.group(), end = min(l.length, block.first_row + kTile);
  const int64_t row = block.first_row + warp() * kRows, statistics = block.statistics(l, block.head);
  const Lane at = lane();
  const Visible upper(starts, row + at.g, l.length), lower(starts, row + at.g + 8, l.length);
  const auto statistic = [&](const float* of, int64_t t) { return t < l.length ? of[statistics + t] : 0.0f; };
  const float lse[2] = {statistic(a.lse, row + at.g), statistic(a.lse, row + at.g + 8)};
  const float delta[2] = {statistic(a.delta, row + at.g), statistic(a.delta, row + at.g + 8)};
  Left q[D / 16], dout[D / 16];
  keys.load(qkv + l.query(block.head), l.stride(), block.first_row, l.length);
  values.load(a.dout + block.first * l.out_stride() + block.head * D, l.out_stride(), block.first_row, l.length);
  __syncthreads();
#pragma unroll
  for (int k = 0; k < D / 16; ++k) keys.left(q[k], warp() * kRows, k), values.left(dout[k], warp() * kRows, k);
  Sums dq[D / 8] = {};
  for (int64_t key = first_key(starts, block.first_row); key < end; key += kTile) {
    __syncthreads();
    keys.load(qkv + l.key(kv), l.stride(), key, l.length);
    values.load(qkv + l.value(kv), l.stride(), key, l.length);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kTile / 16; ++k) {  // 16 keys at a time: two tiles of scores become one left operand
      Sums ds[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        Sums s = {}, dp = {};
        keys.multiply_transposed(s, q, 2 * k + half);
        values.multiply_transposed(dp, dout, 2 * k + half);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int column = static_cast<int>(key) + (2 * k + half) * 8 + 2 * at.t + i % 2;
          const float p = (i < 2 ? upper : lower).sees(column) ? __expf(s[i] * l.scale - lse[i / 2]) : 0.0f;
          ds[half][i] = p * (dp[i] - delta[i / 2]) * l.scale;
        }
      }
      Left left;
      as_left(left, ds[0], ds[1]);
      keys.multiply(dq, left, k);
    }
  }
  store<D>(a.dqkv + block.first * l.stride() + l.query(block.head), l.stride(), row, l.length, dq, 1.0f, 1.0f);
}

// dv = p^T dout, dk = ds^T q: a block does a tile of keys and goes over the queries that see it, for every head that
// shares the keys. Scores are made transposed, keys by queries.
template <int D>
__global__ void __launch_bounds__(kThreads) key_gradient_kernel(AttentionBackward<device_bf16> a, AttentionLayout l) {
  constexpr int kQueries = 32;
  __shared__ __align__(16) Tile<D, kQueries> queries, douts;
  __shared__ float lse[kQueries], delta[kQueries];
  __shared__ int start[kQueries];
  const Block block(l);
  const int32_t* starts = a.starts + block.first;
  const device_bf16* qkv = a.qkv + block.first * l.stride();
  const int64_t kv = block.head, stride = l.stride(), row = block.first_row + warp() * kRows;
  const int64_t last_key = min(l.length, block.first_row + kTile) - 1;
  const Lane at = lane();
  const auto left_at = [&](const device_bf16* from, Left& left, int k) {  // straight from the tensor
    const auto pair = [&](int64_t r, int column) {
      return r < l.length ? pair_at(from + r * stride + k * 16 + column) : 0u;
    };
    left[0] = pair(row + at.g, 2 * at.t), left[1] = pair(row + at.g + 8, 2 * at.t);
    left[2] = pair(row + at.g, 2 * at.t + 8), left[3] = pair(row + at.g + 8, 2 * at.t + 8);
  };
  Left keys[D / 16], values[D / 16];
#pragma unroll
  for (int k = 0; k < D / 16; ++k) left_at(qkv + l.key(kv), keys[k], k), left_at(qkv + l.value(kv), values[k], k);
  Sums dk[D / 8] = {}, dv[D / 8] = {};
  for (int64_t head = kv * l.group(); head < (kv + 1) * l.group(); ++head)
    for (int64_t query = block.first_row; query < l.length && starts[query] <= last_key; query += kQueries) {
      __syncthreads();
      queries.load(qkv + l.query(head), stride, query, l.length);
      douts.load(a.dout + block.first * l.out_stride() + head * D, l.out_stride(), query, l.length);
      if (const int64_t t = query + threadIdx.x; threadIdx.x < kQueries) {
        const bool inside = t < l.length;
        lse[threadIdx.x] = inside ? a.lse[block.statistics(l, head) + t] : 0.0f;
        delta[threadIdx.x] = inside ? a.delta[block.statistics(l, head) + t] : 0.0f;
        start[threadIdx.x] = inside ? starts[t] : INT32_MAX;
      }
      __syncthreads();
#pragma unroll
      for (int k = 0; k < kQueries / 16; ++k) {
        Sums p[2], ds[2];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          Sums s = {}, dp = {};
          queries.multiply_transposed(s, keys, 2 * k + half);
          douts.multiply_transposed(dp, values, 2 * k + half);
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const int column = (2 * k + half) * 8 + 2 * at.t + i % 2;
            const int key = static_cast<int>(row) + at.g + i / 2 * 8;
            const bool seen = key >= start[column] && key <= static_cast<int>(query) + column;
            p[half][i] = seen ? __expf(s[i] * l.scale - lse[column]) : 0.0f;
            ds[half][i] = p[half][i] * (dp[i] - delta[column]) * l.scale;
          }
        }
        Left left;
        as_left(left, p[0], p[1]);
        douts.multiply(dv, left, k);
        as_left(left, ds[0], ds[1]);
        queries.multiply(dk, left, k);
      }
    }
  device_bf16* dqkv = a.dqkv + block.first * stride;
  store<D>(dqkv + l.key(kv), stride, row, l.length, dk, 1.0f, 1.0f);
  store<D>(dqkv + l.value(kv), stride, row, l.length, dv, 1.0f, 1.0f);
}

dim3 grid_of(const AttentionLayout& l, int64_t heads, int64_t sequences) {
  return dim3(blocks_for(l.length, kTile), static_cast<unsigned>(heads), static_cast<unsigned>(sequences));
}

template <int D>
void backward(const AttentionBackward<device_bf16>& a, const AttentionLayout& l, int64_t sequences) {
  query_gradient_kernel<D><<<grid_of(l, l.heads, sequences), kThreads>>>(a, l);
  key_gradient_kernel<D><<<grid_of(l, l.kv_heads, sequences), kThreads>>>(a, l);
}

}  // namespace

bool attention_on_tensor_cores(int64_t head_size) { return head_size == 64 || head_size == 128; }

void attention_forward_on_tensor_cores(const AttentionForward<device_bf16>& a, const AttentionLayout& l,
                                       int64_t sequences) {
  const dim3 grid = grid_of(l, l.heads, sequences);
  if (l.head_size == 64) forward_kernel<64><<<grid, kThreads>>>(a, l);
  else forward_kernel<128><<<grid, kThreads>>>(a, l);
  launched("attention forward on tensor cores");
}

void attention_backward_on_tensor_cores(const AttentionBackward<device_bf16>& a, const AttentionLayout& l,
                                        int64_t sequences) {
  l.head_size == 64 ? backward<64>(a, l, sequences) : backward<128>(a, l, sequences);
  launched("attention backward on tensor cores");
}

}  // namespace starling::cuda

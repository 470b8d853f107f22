// What the two kinds of attention kernels share: those of attention_cuda.cu for any type and head size, a warp a row,
// and those of attention_tensor_cores_cuda.cu for bf16.
#pragma once

#include "ops/attention.h"
#include "ops/launch_cuda.cuh"

namespace starling::cuda {

// Where a head's rows are: row n of a tensor starts at n * stride, a head's columns at head * D.
struct AttentionLayout {
  int64_t length, heads, kv_heads, head_size;  // T, H, Hkv, D
  float scale;                                 // 1 / sqrt(D)
  __host__ __device__ int64_t group() const { return heads / kv_heads; }
  __host__ __device__ int64_t stride() const { return (heads + 2 * kv_heads) * head_size; }  // of qkv
  __host__ __device__ int64_t out_stride() const { return heads * head_size; }               // of out
  __host__ __device__ int64_t query(int64_t head) const { return head * head_size; }         // columns of qkv
  __host__ __device__ int64_t key(int64_t kv_head) const { return (heads + kv_head) * head_size; }
  __host__ __device__ int64_t value(int64_t kv_head) const { return (heads + kv_heads + kv_head) * head_size; }
};

template <class T>
struct AttentionForward {
  T* out;
  float* lse;
  const T* qkv;
  const int32_t* starts;
};

template <class T>
struct AttentionBackward {
  T* dqkv;
  const T *dout, *qkv;
  const float *lse, *delta;  // delta[b,h,t] = out . dout = sum_s p dp
  const int32_t* starts;
};

// The tensor cores' kernels take heads of 64 and 128.
bool attention_on_tensor_cores(int64_t head_size);
void attention_forward_on_tensor_cores(const AttentionForward<device_bf16>& a, const AttentionLayout& layout,
                                       int64_t sequences);
void attention_backward_on_tensor_cores(const AttentionBackward<device_bf16>& a, const AttentionLayout& layout,
                                        int64_t sequences);

}  // namespace starling::cuda

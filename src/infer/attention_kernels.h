// Private to infer: the two products of attention between one page of a sequence and the queries of a few heads.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <type_traits>

namespace starling {

// For H = `heads` queries [H][d], one after another, and a page's keys [d][16 positions] or values [16 positions][d],
// which are f16, 8-bit integers without their scales, or have been widened to f32. Every kernel sums in the same order,
// so their bits are the same. What lies in `next`, another page's, at the place that is read is asked for from memory.
template <class Element>
struct PageKernels {
  // scores[h][p] = scale * q[h] . key p: the sum of the even columns, then that of the odd ones. A head's scores begin
  // `stride` values after those of the head before it.
  void (*dots)(int heads, float* scores, int64_t stride, const float* q, const Element* keys, const Element* next,
               int64_t d, float scale);
  // sums[h] += sum_r weights[h][r] * values[r] for `count` positions r, in their order.
  void (*add_rows)(int heads, float* sums, const float* weights, int64_t stride, const Element* values,
                   const Element* next, int64_t count, int64_t d);
};

struct AttentionKernels {
  int most_heads;
  PageKernels<uint16_t> f16;
  PageKernels<int8_t> int8;
  PageKernels<float> f32;

  template <class Element>
  const PageKernels<Element>& of() const {
    if constexpr (std::is_same_v<Element, float>) return f32;
    else if constexpr (std::is_same_v<Element, int8_t>) return int8;
    else return f16;
  }
};

// Asks memory for the lines of `count` elements, unless they were widened: then they are in the cache. The second cache
// is near enough, and waits for more lines at once than the first.
template <class Element>
inline void fetch(const Element* elements, int64_t count) {
  if constexpr (std::is_same_v<Element, float>) return;
  const auto* bytes = reinterpret_cast<const char*>(elements);
  for (int64_t i = 0; i < count * static_cast<int64_t>(sizeof(Element)); i += 64) _mm_prefetch(bytes + i, _MM_HINT_T1);
}

const AttentionKernels& reference_attention();
const AttentionKernels& avx2_attention();
const AttentionKernels& avx512_attention();

}  // namespace starling

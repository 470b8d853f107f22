#include "infer/attention.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "infer/vector_math.h"

namespace starling {
namespace {

void to_f16(const float* from, uint16_t* to, int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
  }
  for (; i < count; ++i) to[i] = static_cast<uint16_t>(_cvtss_sh(from[i], _MM_FROUND_TO_NEAREST_INT));
}

void from_f16(const uint16_t* from, float* to, int64_t count) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
  }
  for (; i < count; ++i) to[i] = _cvtsh_ss(from[i]);
}

float dot(const float* a, const float* b, int64_t count) {
  __m256 sum = _mm256_setzero_ps();
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) sum = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), sum);
  float total = sum8(sum);
  for (; i < count; ++i) total = std::fma(a[i], b[i], total);
  return total;
}

void add_scaled(float* sum, float scale, const float* x, int64_t count) {
  int64_t i = 0;
  const __m256 factor = _mm256_set1_ps(scale);
  for (; i + 8 <= count; i += 8) {
    _mm256_storeu_ps(sum + i, _mm256_fmadd_ps(factor, _mm256_loadu_ps(x + i), _mm256_loadu_ps(sum + i)));
  }
  for (; i < count; ++i) sum[i] = std::fma(scale, x[i], sum[i]);
}

void softmax(float* scores, int64_t count) {
  const float largest = *std::max_element(scores, scores + count);
  const __m256 offset = _mm256_set1_ps(largest);
  __m256 sums = _mm256_setzero_ps();
  for (int64_t i = 0; i < count; i += 8) {
    const __m256i mask = tail_mask(static_cast<int>(std::min<int64_t>(8, count - i)));
    const __m256 exponential = exp8(_mm256_sub_ps(_mm256_maskload_ps(scores + i, mask), offset));
    _mm256_maskstore_ps(scores + i, mask, exponential);
    sums = _mm256_add_ps(sums, _mm256_and_ps(exponential, _mm256_castsi256_ps(mask)));
  }
  const float inverse = 1.0f / sum8(sums);
  for (int64_t i = 0; i < count; ++i) scores[i] *= inverse;
}

}  // namespace

void store_keys_values(const AttentionSpan& span, const float* k, const float* v, int64_t layer, int64_t kv_size) {
  for (int64_t token = 0; token < span.tokens; ++token) {
    const int64_t position = span.first_position + token;
    const int64_t page = position / kPagePositions, row = position % kPagePositions * kv_size;
    to_f16(k + token * kv_size, span.cache->keys(layer, page) + row, kv_size);
    to_f16(v + token * kv_size, span.cache->values(layer, page) + row, kv_size);
  }
}

void attend(const AttentionSpan& span, int64_t layer, int64_t kv_head, const ModelConfig& config) {
  const int64_t d = config.head_size(), kv_size = config.kv_size(), group = config.num_heads / config.num_kv_heads;
  const int64_t length = span.first_position + span.tokens;
  const auto first_visible = [&](int64_t position) {
    return config.sliding_window > 0 ? std::max<int64_t>(0, position - config.sliding_window + 1) : 0;
  };
  const int64_t first_page = first_visible(span.first_position) / kPagePositions * kPagePositions;
  const int64_t stride = (length - first_page + 7) / 8 * 8;
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  thread_local std::vector<float> scores, rows;
  scores.resize(static_cast<size_t>(span.tokens * group * stride));
  rows.resize(static_cast<size_t>(kPagePositions * d));

  // Calls visit(query or output offset, scores from first_page on, first and end of the token's visible positions) for
  // each pair of a token and a query head.
  const auto for_each_head = [&](const auto& visit) {
    for (int64_t token = 0; token < span.tokens; ++token) {
      const int64_t position = span.first_position + token;
      for (int64_t head = 0; head < group; ++head) {
        const int64_t offset = (token * config.num_heads + kv_head * group + head) * d;
        visit(offset, scores.data() + (token * group + head) * stride, first_visible(position), position + 1);
      }
    }
  };
  const auto widen_page = [&](const uint16_t* page, int64_t count) {
    for (int64_t row = 0; row < count; ++row) from_f16(page + row * kv_size + kv_head * d, rows.data() + row * d, d);
  };

  for (int64_t first = first_page; first < length; first += kPagePositions) {
    widen_page(span.cache->keys(layer, first / kPagePositions), std::min(kPagePositions, length - first));
    for_each_head([&](int64_t offset, float* score, int64_t begin, int64_t end) {
      const int64_t last = std::min(first + kPagePositions, end);
      for (int64_t s = std::max(first, begin); s < last; ++s)
        score[s - first_page] = scale * dot(span.q + offset, rows.data() + (s - first) * d, d);
    });
  }
  for_each_head([&](int64_t offset, float* score, int64_t begin, int64_t end) {
    softmax(score + begin - first_page, end - begin);
    std::fill(span.out + offset, span.out + offset + d, 0.0f);
  });
  for (int64_t first = first_page; first < length; first += kPagePositions) {
    widen_page(span.cache->values(layer, first / kPagePositions), std::min(kPagePositions, length - first));
    for_each_head([&](int64_t offset, float* score, int64_t begin, int64_t end) {
      const int64_t last = std::min(first + kPagePositions, end);
      for (int64_t s = std::max(first, begin); s < last; ++s)
        add_scaled(span.out + offset, score[s - first_page], rows.data() + (s - first) * d, d);
    });
  }
}

}  // namespace starling

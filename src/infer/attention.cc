#include "infer/attention.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "infer/attention_kernels.h"
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

// scores = cap tanh(scores / cap),  tanh(x) = 1 - 2 / (e^2x + 1)
void cap_scores(float* scores, int64_t count, float cap) {
  const __m256 doubled = _mm256_set1_ps(2.0f / cap), twice = _mm256_set1_ps(2.0f * cap), one = _mm256_set1_ps(1.0f);
  for (int64_t i = 0; i < count; i += 8) {
    const __m256 power = exp8(_mm256_mul_ps(load8(scores + i, count - i), doubled));
    const __m256 below = _mm256_div_ps(twice, _mm256_add_ps(power, one));
    store8(scores + i, count - i, _mm256_sub_ps(_mm256_set1_ps(cap), below));
  }
}

void softmax(float* scores, int64_t count) {
  const __m256 offset = _mm256_set1_ps(max_of({scores, static_cast<size_t>(count)}));
  __m256 sums = _mm256_setzero_ps();
  for (int64_t i = 0; i < count; i += 8) {
    const __m256 exponential = exp8(_mm256_sub_ps(load8(scores + i, count - i), offset));
    store8(scores + i, count - i, exponential);
    sums = _mm256_add_ps(sums, first8(exponential, count - i));
  }
  const __m256 inverse = _mm256_set1_ps(1.0f / sum8(sums));
  for (int64_t i = 0; i < count; i += 8) {
    store8(scores + i, count - i, _mm256_mul_ps(load8(scores + i, count - i), inverse));
  }
}

}  // namespace

void store_keys_values(const AttentionSpan& span, const float* k, const float* v, int64_t layer,
                       const ModelConfig& config) {
  const int64_t d = config.head_size();
  std::vector<uint16_t> key(static_cast<size_t>(d));
  for (int64_t token = 0; token < span.tokens; ++token) {
    const int64_t position = span.first_position + token;
    const int64_t page = position / kPagePositions;
    for (int64_t head = 0; head < config.num_kv_heads; ++head) {
      const int64_t from = token * config.kv_size() + head * d;
      to_f16(k + from, key.data(), d);
      uint16_t* column = span.cache->keys(layer, head, page) + position % kPagePositions;
      for (int64_t i = 0; i < d; ++i) column[i * kPagePositions] = key[static_cast<size_t>(i)];
      to_f16(v + from, span.cache->values(layer, head, page) + position % kPagePositions * d, d);
    }
  }
}

void attend(const AttentionSpan& span, int64_t layer, int64_t kv_head, const ModelConfig& config,
            InstructionSet instructions) {
  const AttentionKernels& kernels = instructions >= InstructionSet::avx512_vnni ? avx512_attention() : avx2_attention();
  const int64_t d = config.head_size(), group = config.num_heads / config.num_kv_heads;
  const int64_t length = span.first_position + span.tokens;
  const auto first_visible = [&](int64_t position) {
    return config.sliding_window > 0 ? std::max<int64_t>(0, position - config.sliding_window + 1) : 0;
  };
  const int64_t first_page = first_visible(span.first_position) / kPagePositions * kPagePositions;
  const int64_t stride = pages_for(length - first_page) * kPagePositions;
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  thread_local std::vector<float> scores, rows;
  scores.resize(static_cast<size_t>(span.tokens * group * stride));
  rows.resize(static_cast<size_t>(kPagePositions * d));

  // Calls visit(heads, query or output offset, scores from first_page on, first and end of the token's visible
  // positions) for each token and a few query heads at a time, which share what they load of a key.
  const auto for_each_heads = [&](const auto& visit) {
    for (int64_t token = 0; token < span.tokens; ++token) {
      const int64_t position = span.first_position + token;
      for (int64_t head = 0; head < group; head += kernels.most_heads) {
        const int heads = static_cast<int>(std::min<int64_t>(kernels.most_heads, group - head));
        const int64_t offset = (token * config.num_heads + kv_head * group + head) * d;
        visit(heads, offset, scores.data() + (token * group + head) * stride, first_visible(position), position + 1);
      }
    }
  };
  // Calls use(kernels, page) with the page as it is, or widened to f32 where more than one call of a kernel reads it.
  // The page after it is on its way from memory meanwhile: many sequences' pages are in no cache.
  const auto with_page = [&](const uint16_t* page, const uint16_t* next, const auto& use) {
    for (int64_t i = 0; next && i < kPagePositions * d; i += 32) _mm_prefetch(next + i, _MM_HINT_T0);
    if (span.tokens * group <= kernels.most_heads) return use(kernels.f16, page);
    from_f16(page, rows.data(), kPagePositions * d);
    use(kernels.f32, static_cast<const float*>(rows.data()));
  };
  const auto keys = [&](int64_t first) { return span.cache->keys(layer, kv_head, first / kPagePositions); };
  const auto values = [&](int64_t first) { return span.cache->values(layer, kv_head, first / kPagePositions); };

  for (int64_t first = first_page; first < length; first += kPagePositions) {
    const int64_t next = first + kPagePositions;
    with_page(keys(first), next < length ? keys(next) : values(first_page), [&](const auto& kernel, const auto* page) {
      for_each_heads([&](int heads, int64_t offset, float* score, int64_t, int64_t end) {
        if (first < end) kernel.dots(heads, score + first - first_page, stride, span.q + offset, page, d, scale);
      });
    });
  }
  for_each_heads([&](int heads, int64_t offset, float* score, int64_t begin, int64_t end) {
    for (int64_t head = 0; head < heads; ++head) {
      float* visible = score + head * stride + begin - first_page;
      if (config.attention_cap > 0) cap_scores(visible, end - begin, config.attention_cap);
      softmax(visible, end - begin);
    }
    std::fill_n(span.out + offset, heads * d, 0.0f);
  });
  for (int64_t first = first_page; first < length; first += kPagePositions) {
    const int64_t next = first + kPagePositions;
    with_page(values(first), next < length ? values(next) : nullptr, [&](const auto& kernel, const auto* page) {
      for_each_heads([&](int heads, int64_t offset, float* score, int64_t begin, int64_t end) {
        const int64_t visible = std::max(first, begin), count = std::min(next, end) - visible;
        if (count > 0)
          kernel.add_rows(heads, span.out + offset, score + visible - first_page, stride, page + (visible - first) * d,
                          count, d);
      });
    });
  }
}

}  // namespace starling

#include "infer/attention.h"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "infer/attention_kernels.h"
#include "infer/cache_elements.h"
#include "infer/vector_math.h"

namespace starling {
namespace {

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

// x *= scales
void multiply(float* x, const float* scales, int64_t count) {
  for (int64_t i = 0; i < count; i += 8)
    store8(x + i, count - i, _mm256_mul_ps(load8(x + i, count - i), load8(scales + i, count - i)));
}

// One position of a page: its key is a column, its value a row.
template <class Element>
void store_position(const HeadPage& keys, const HeadPage& values, int64_t slot, const float* k, const float* v,
                    int64_t d) {
  thread_local std::vector<Element> key;
  key.resize(static_cast<size_t>(d));
  Element* row = reinterpret_cast<Element*>(values.elements) + slot * d;
  if constexpr (std::is_same_v<Element, int8_t>) {
    keys.scales[slot] = round_elements(k, key.data(), d);
    values.scales[slot] = round_elements(v, row, d);
  } else {
    round_elements(k, key.data(), d);
    round_elements(v, row, d);
  }
  Element* column = reinterpret_cast<Element*>(keys.elements) + slot;
  for (int64_t i = 0; i < d; ++i) column[i * kPagePositions] = key[static_cast<size_t>(i)];
}

const AttentionKernels& kernels_of(InstructionSet instructions) {
  if (instructions == InstructionSet::reference) return reference_attention();
  return instructions >= InstructionSet::avx512_vnni ? avx512_attention() : avx2_attention();
}

// A span's tokens with some key-value heads, whose elements are f16 or int8, and the query heads that share them.
template <class Element>
class HeadsAttention {
 public:
  HeadsAttention(const AttentionSpan& span, const HeadRange& heads, int64_t layer, const ModelConfig& config,
                 const AttentionKernels& kernels)
      : span_(span),
        kv_heads_(heads),
        layer_(layer),
        config_(config),
        kernels_(kernels),
        first_page_(first_visible(span.first_position) / kPagePositions),
        end_page_(pages_for(span.first_position + span.tokens)),
        scores_(buffer(0, span.tokens * kv_heads_.count * group_ * stride_)) {}

  void run() {
    find_scores();
    make_weights();
    add_values();
  }

 private:
  // A token and a few query heads of one key-value head, which share what is loaded of a page.
  struct Queries {
    int heads;
    int64_t offset;      // of the first head in q and out
    float* scores;       // the first head's, from first_page_ on; the next head's begin stride_ later
    int64_t begin, end;  // positions that the token sees
  };

  int64_t first_visible(int64_t position) const {
    return config_.sliding_window > 0 ? std::max<int64_t>(0, position - config_.sliding_window + 1) : 0;
  }
  // Of the calling thread; kept, so that memory is not asked for in each call.
  static float* buffer(size_t which, int64_t values) {
    thread_local std::vector<float> buffers[2];
    if (buffers[which].size() < static_cast<size_t>(values)) buffers[which].resize(static_cast<size_t>(values));
    return buffers[which].data();
  }

  template <class Visit>
  void for_each_queries(int64_t kv_head, const Visit& visit) const {
    for (int64_t token = 0; token < span_.tokens; ++token) {
      const int64_t position = span_.first_position + token;
      for (int64_t head = 0; head < group_; head += kernels_.most_heads) {
        const int heads = static_cast<int>(std::min<int64_t>(kernels_.most_heads, group_ - head));
        const int64_t row = (token * kv_heads_.count + kv_head - kv_heads_.first) * group_ + head;
        visit(Queries{heads, (token * config_.num_heads + kv_head * group_ + head) * d_, scores_ + row * stride_,
                      first_visible(position), position + 1});
      }
    }
  }

  HeadPage page(bool values, int64_t kv_head, int64_t index) const {
    return values ? span_.cache->values(layer_, kv_head, index) : span_.cache->keys(layer_, kv_head, index);
  }
  static const Element* elements_of(const HeadPage& page) { return reinterpret_cast<const Element*>(page.elements); }

  struct Place {
    int64_t kv_head, first;  // the page's first position
    const float* scales;
  };
  // Calls use(place, kernels, elements, next page's elements) for each page of keys or values, as they are or, where
  // more than one call of a kernel reads them, widened to f32. The heads of a page lie one after another in memory.
  template <class Use>
  void for_each_page(bool values, const Use& use) const {
    for (int64_t index = first_page_; index < end_page_; ++index) {
      for (int64_t kv_head = kv_heads_.first; kv_head < kv_heads_.first + kv_heads_.count; ++kv_head) {
        const HeadPage head = page(values, kv_head, index);
        const bool last = index + 1 == end_page_;  // after the keys come the values
        const HeadPage next_head = page(values || last, kv_head, last ? first_page_ : index + 1);
        const Element *elements = elements_of(head), *next = elements_of(next_head);
        if (next_head.scales) _mm_prefetch(next_head.scales, _MM_HINT_T1);
        const Place place{kv_head, index * kPagePositions, head.scales};
        if (span_.tokens * group_ <= kernels_.most_heads) {
          use(place, kernels_.template of<Element>(), elements, next);
        } else {
          float* rows = buffer(1, kPagePositions * d_);
          fetch(next, kPagePositions * d_);
          widen_elements(elements, rows, kPagePositions * d_);
          use(place, kernels_.f32, static_cast<const float*>(rows), static_cast<const float*>(rows));
        }
      }
    }
  }

  void find_scores() const {
    const float scale = 1.0f / std::sqrt(static_cast<float>(d_));
    for_each_page(false, [&](const Place& place, const auto& kernel, const auto* keys, const auto* next) {
      for_each_queries(place.kv_head, [&](const Queries& queries) {
        if (place.first >= queries.end) return;
        float* scores = queries.scores + place.first - first_page_ * kPagePositions;
        kernel.dots(queries.heads, scores, stride_, span_.q + queries.offset, keys, next, d_, scale);
        for (int64_t head = 0; place.scales && head < queries.heads; ++head)
          multiply(scores + head * stride_, place.scales, kPagePositions);
      });
    });
  }
  void make_weights() const {
    for (int64_t kv_head = kv_heads_.first; kv_head < kv_heads_.first + kv_heads_.count; ++kv_head) {
      for_each_queries(kv_head, [&](const Queries& queries) {
        for (int64_t head = 0; head < queries.heads; ++head) {
          float* visible = queries.scores + head * stride_ + queries.begin - first_page_ * kPagePositions;
          const int64_t count = queries.end - queries.begin;
          if (config_.attention_cap > 0) cap_scores(visible, count, config_.attention_cap);
          softmax(visible, count);
        }
        std::fill_n(span_.out + queries.offset, queries.heads * d_, 0.0f);
      });
    }
  }
  void add_values() const {
    for_each_page(true, [&](const Place& place, const auto& kernel, const auto* values, const auto* next) {
      for_each_queries(place.kv_head, [&](const Queries& queries) {
        const int64_t begin = std::max(place.first, queries.begin),
                      end = std::min(place.first + kPagePositions, queries.end), skipped = begin - place.first;
        if (begin >= end) return;
        float* weights = queries.scores + begin - first_page_ * kPagePositions;
        for (int64_t head = 0; place.scales && head < queries.heads; ++head)
          multiply(weights + head * stride_, place.scales + skipped, end - begin);
        kernel.add_rows(queries.heads, span_.out + queries.offset, weights, stride_, values + skipped * d_,
                        next + skipped * d_, end - begin, d_);
      });
    });
  }

  const AttentionSpan& span_;
  const HeadRange& kv_heads_;
  const int64_t layer_;
  const ModelConfig& config_;
  const AttentionKernels& kernels_;
  const int64_t d_ = config_.head_size(), group_ = config_.num_heads / config_.num_kv_heads;
  const int64_t first_page_, end_page_;
  const int64_t stride_ = (end_page_ - first_page_) * kPagePositions;  // scores of a head
  float* const scores_;                                                // [tokens][kv_heads_.count][group_][stride_]
};

}  // namespace

void store_keys_values(const AttentionSpan& span, const float* k, const float* v, int64_t layer,
                       const ModelConfig& config) {
  const int64_t d = config.head_size();
  const auto store = span.cache->form() == CacheForm::f16 ? store_position<uint16_t> : store_position<int8_t>;
  for (int64_t token = 0; token < span.tokens; ++token) {
    const int64_t position = span.first_position + token;
    const int64_t page = position / kPagePositions;
    for (int64_t head = 0; head < config.num_kv_heads; ++head) {
      const int64_t from = token * config.kv_size() + head * d;
      store(span.cache->keys(layer, head, page), span.cache->values(layer, head, page), position % kPagePositions,
            k + from, v + from, d);
    }
  }
}

void attend(const AttentionSpan& span, const HeadRange& kv_heads, int64_t layer, const ModelConfig& config,
            InstructionSet instructions) {
  const AttentionKernels& kernels = kernels_of(instructions);
  if (span.cache->form() == CacheForm::f16) HeadsAttention<uint16_t>(span, kv_heads, layer, config, kernels).run();
  else HeadsAttention<int8_t>(span, kv_heads, layer, config, kernels).run();
}

}  // namespace starling

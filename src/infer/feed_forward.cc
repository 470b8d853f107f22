#include "infer/feed_forward.h"

#include <algorithm>
#include <cmath>

#include "core/threads.h"
#include "infer/vector_math.h"
#include "ops/expert_rows.h"
#include "ops/router.h"
#include "ops/swiglu.h"

namespace starling {
namespace {

// gate = a(gate) * up with a of ops/swiglu.h, x / (1 + exp(-z(x))).
template <Gate kind>
void swiglu(float* gate, const float* up, int64_t count) {
  const __m256 one = _mm256_set1_ps(1.0f), scale = _mm256_set1_ps(-kGeluScale), cubic = _mm256_set1_ps(kGeluCubic);
  for (int64_t i = 0; i < count; i += 8) {
    const __m256 x = load8(gate + i, count - i);
    __m256 exponent = _mm256_sub_ps(_mm256_setzero_ps(), x);
    if constexpr (kind == Gate::gelu)
      exponent = _mm256_mul_ps(_mm256_mul_ps(scale, x), _mm256_fmadd_ps(_mm256_mul_ps(cubic, x), x, one));
    const __m256 denominator = _mm256_add_ps(one, exp8(exponent));
    store8(gate + i, count - i, _mm256_mul_ps(_mm256_div_ps(x, denominator), load8(up + i, count - i)));
  }
}

// In f32: rounded to 8 bits, the logits of two experts that are close change places.
float dot(const float* a, const float* b, int64_t count) {
  __m256 sums = _mm256_setzero_ps();
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) sums = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), sums);
  float sum = sum8(sums);
  for (; i < count; ++i) sum = std::fma(a[i], b[i], sum);
  return sum;
}

template <class T>
Tensor view(std::vector<T>& values, int64_t rows, int64_t columns) {
  values.resize(static_cast<size_t>(rows * columns));
  return {values.data(), dtype_of<T>(), {rows, columns}};
}

}  // namespace

void QuantizedFeedForward::run(float* y, const float* x, int64_t tokens, const LayerWeights& w,
                               InstructionSet instructions) {
  if (config_.num_experts > 0) run_mixture(y, x, tokens, w, instructions);
  else run_one(y, x, tokens, w.feed_forwards.front(), instructions);
}

void QuantizedFeedForward::run_one(float* y, const float* x, int64_t rows, const FeedForwardWeights& w,
                                   InstructionSet instructions) {
  const int64_t values = rows * config_.intermediate_size;
  gate_.resize(static_cast<size_t>(values));
  up_.resize(gate_.size());
  const QuantizedProduct products[] = {{gate_.data(), &w.gate}, {up_.data(), &w.up}};
  quantized_products(products, x, rows, instructions);
  const auto gate_values = config_.is_grok1() ? swiglu<Gate::gelu> : swiglu<Gate::silu>;
  parallel_for(values, 4096,
               [&](int64_t begin, int64_t end) { gate_values(gate_.data() + begin, up_.data() + begin, end - begin); });
  quantized_product(y, gate_.data(), rows, w.down, instructions);
}

void QuantizedFeedForward::run_mixture(float* y, const float* x, int64_t tokens, const LayerWeights& w,
                                       InstructionSet instructions) {
  const int64_t C = config_.hidden_size, E = config_.num_experts, K = config_.experts_per_token;
  // 1. the router chooses
  const Tensor logits = view(logits_, tokens, E), weights = view(weights_, tokens, K),
               chosen = view(chosen_, tokens, K);
  parallel_for(tokens, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * E; i < end * E; ++i)
      logits_[static_cast<size_t>(i)] = dot(x + i / E * C, w.router.data() + i % E * C, C);
  });
  router_forward(view(probabilities_, tokens, E), weights, chosen, logits,
                 config_.is_grok1() ? ExpertWeights::probabilities : ExpertWeights::shares);
  // 2. each expert's feed-forward of its tokens
  const Tensor rows = view(rows_, tokens, K), input = view(input_, tokens * K, C),
               output = view(output_, tokens * K, C);
  load_.resize(static_cast<size_t>(E));
  sort_expert_rows(rows, {load_.data(), DType::i32, {E}}, chosen);
  gather_expert_rows(input, {x, DType::f32, {tokens, C}}, rows);
  for (int64_t e = 0, first = 0; e < E; first += load_[static_cast<size_t>(e++)])
    if (const int64_t count = load_[static_cast<size_t>(e)]; count > 0)
      run_one(output_.data() + first * C, input_.data() + first * C, count, w.feed_forwards[static_cast<size_t>(e)],
              instructions);
  // 3. their weighted sum
  std::fill_n(y, tokens * C, 0.0f);
  combine_expert_rows({y, DType::f32, {tokens, C}}, output, rows, weights);
}

}  // namespace starling

// Causal grouped-query attention of new tokens over a sequence's cache:
//   out[t,h] = sum_s softmax_s(c(q[t,h] . k[s,g] / sqrt(d))) v[s,g],   g = h / (H / Hkv)
// c(x) = x, or cap tanh(x / cap) where the model caps its scores,
// over s <= t, and s > t - sliding_window where the model has one. Keys and values are those of the cache: in 8 bits a
// key's scale multiplies its score, a value's scale the weight that softmax gave it.
// Sums run in a fixed order over s, so a token's result does not depend on what else is in the batch.
#pragma once

#include <cstdint>

#include "infer/kv_cache.h"
#include "model/config.h"
#include "ops/quantized_product.h"

namespace starling {

// Tokens of one sequence at positions first_position, first_position + 1, ...; their keys and values are in the cache.
struct AttentionSpan {
  KvCache* cache = nullptr;
  int64_t first_position = 0;
  int64_t tokens = 0;
  const float* q = nullptr;  // [tokens, H * d], rotated
  float* out = nullptr;      // [tokens, H * d]
};

// Rounds keys and values [tokens, kv_size] to the cache's form and stores them; the cache has room.
void store_keys_values(const AttentionSpan& span, const float* k, const float* v, int64_t layer,
                       const ModelConfig& config);

struct HeadRange {
  int64_t first = 0, count = 0;
};

// Some key-value heads and all the query heads that share them, for a few tokens (about kAttentionTokens).
void attend(const AttentionSpan& span, const HeadRange& kv_heads, int64_t layer, const ModelConfig& config,
            InstructionSet instructions);

inline constexpr int64_t kAttentionTokens = 4;  // tokens of one call that share the widening of keys to f32

}  // namespace starling

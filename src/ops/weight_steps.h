// Private to ops: the weights of a block as signed bytes, from either format with scales.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "ops/quantized_matrix.h"

namespace starling {

inline __m256i load_bytes(const uint8_t* data) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data)); }

// The signed weights of one step of 8 rows, from either format.
struct Int8Steps {
  explicit Int8Steps(const QuantizedMatrix&) {}
  __m256i operator()(const uint8_t* data, int64_t step, int half) const {
    return _mm256_xor_si256(load_bytes(data + step * 64 + half * 32), _mm256_set1_epi8(static_cast<char>(0x80)));
  }
};

struct Code4Steps {
  explicit Code4Steps(const QuantizedMatrix& w)
      : codebook(_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w.codebook().data())))) {}
  __m256i operator()(const uint8_t* data, int64_t step, int half) const {
    const __m256i packed = load_bytes(data + step / 2 * 64 + half * 32);
    const __m256i nibbles = step % 2 == 0 ? packed : _mm256_srli_epi16(packed, 4);
    return _mm256_shuffle_epi8(codebook, _mm256_and_si256(nibbles, _mm256_set1_epi8(0x0f)));
  }
  __m256i codebook;
};

}  // namespace starling

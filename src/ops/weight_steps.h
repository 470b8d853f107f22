// Private to ops: the weights of a block + 128 as bytes, from either format with scales.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "ops/quantized_matrix.h"

namespace starling {

inline __m256i load_bytes(const uint8_t* data) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data)); }

// A line of 64 bytes holds one or two steps, of 4 columns of 16 rows each. Called with half a line (8 rows), either
// gives the weights + 128 of one of its steps.
struct Int8Steps {
  static constexpr int kOfLine = 1;
  explicit Int8Steps(const QuantizedMatrix&) {}
  __m256i operator()(__m256i stored, int /*step*/) const { return stored; }
};

struct Code4Steps {
  static constexpr int kOfLine = 2;
  explicit Code4Steps(const QuantizedMatrix& w) {
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w.codebook().data()));
    codebook = _mm256_broadcastsi128_si256(_mm_xor_si128(values, _mm_set1_epi8(static_cast<char>(0x80))));
  }
  __m256i operator()(__m256i stored, int step) const {
    const __m256i nibbles = step == 0 ? stored : _mm256_srli_epi16(stored, 4);
    return _mm256_shuffle_epi8(codebook, _mm256_and_si256(nibbles, _mm256_set1_epi8(0x0f)));
  }
  __m256i codebook;
};

}  // namespace starling

// Private to infer: how keys and values become elements of the cache's pages (CacheForm), and f32 again.
#pragma once

#include <cstdint>

namespace starling {

// To the nearest, ties to even. The second returns the scale, max |from| / 127.
void round_elements(const float* from, uint16_t* f16, int64_t count);
float round_elements(const float* from, int8_t* rounded, int64_t count);

void widen_elements(const uint16_t* f16, float* to, int64_t count);
void widen_elements(const int8_t* rounded, float* to, int64_t count);  // without the scale

}  // namespace starling

// bf16: the upper half of an f32. Eight bits of precision, the range of f32.
#pragma once

#include <bit>
#include <cstdint>

namespace starling {

struct bf16 {
  uint16_t bits = 0;
};

inline float to_float(float value) { return value; }
inline float to_float(bf16 value) { return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16); }

// Rounds to nearest, ties to even; a NaN stays a NaN.
inline bf16 to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return {static_cast<uint16_t>((nan ? (bits | 0x00400000u) : rounded) >> 16)};
}

template <class T>
T from_float(float value);
template <>
inline float from_float<float>(float value) {
  return value;
}
template <>
inline bf16 from_float<bf16>(float value) {
  return to_bf16(value);
}

}  // namespace starling

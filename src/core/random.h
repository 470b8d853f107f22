// Counter-based random numbers: a pure function of (seed, stream, index), so results do not depend on the number of
// threads or ranks. Philox4x32-10; source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
#pragma once

#include <array>
#include <cstdint>

namespace starling {

// Four independent 32-bit words for one counter.
std::array<uint32_t, 4> philox4x32(uint64_t key, uint64_t counter_high, uint64_t counter_low);

uint64_t random_u64(uint64_t seed, uint64_t stream, uint64_t index);
double random_uniform(uint64_t seed, uint64_t stream, uint64_t index);  // [0, 1), 53 bits
float random_normal(uint64_t seed, uint64_t stream, uint64_t index);    // mean 0, deviation 1 (Box-Muller)

}  // namespace starling

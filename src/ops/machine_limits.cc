#include "ops/machine_limits.h"

// GCC 12 takes the "undefined" registers of its own AVX-512 intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "core/threads.h"
#include "core/time.h"

// One independent sum: 12 of them hide the latency of any of these instructions. The empty asm keeps the compiler from
// folding the repeated step.
#define STARLING_CHAIN(i)      \
  sum##i = STEP(sum##i, a, b); \
  asm volatile("" : "+v"(sum##i));
#define STARLING_12_CHAINS                                                                                    \
  STARLING_CHAIN(0)                                                                                           \
  STARLING_CHAIN(1) STARLING_CHAIN(2) STARLING_CHAIN(3) STARLING_CHAIN(4) STARLING_CHAIN(5) STARLING_CHAIN(6) \
      STARLING_CHAIN(7) STARLING_CHAIN(8) STARLING_CHAIN(9) STARLING_CHAIN(10) STARLING_CHAIN(11)

namespace starling {
namespace {

constexpr int64_t kChains = 12;

__attribute__((target("avx512f,avx512vnni"))) void int8_steps(int64_t steps) {
  const __m512i a = _mm512_set1_epi8(1), b = a;
  __m512i sum0 = a, sum1 = a, sum2 = a, sum3 = a, sum4 = a, sum5 = a, sum6 = a, sum7 = a, sum8 = a, sum9 = a, sum10 = a,
          sum11 = a;
#define STEP _mm512_dpbusd_epi32
  for (int64_t i = 0; i < steps; ++i) {
    STARLING_12_CHAINS
  }
#undef STEP
}

__attribute__((target("avx512f,avx512bf16"))) void bf16_steps(int64_t steps) {
  const __m512bh a = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3f80)), b = a;
  const __m512 zero = _mm512_setzero_ps();
  __m512 sum0 = zero, sum1 = zero, sum2 = zero, sum3 = zero, sum4 = zero, sum5 = zero, sum6 = zero, sum7 = zero,
         sum8 = zero, sum9 = zero, sum10 = zero, sum11 = zero;
#define STEP _mm512_dpbf16_ps
  for (int64_t i = 0; i < steps; ++i) {
    STARLING_12_CHAINS
  }
#undef STEP
}

__attribute__((target("avx512f"))) void f32_wide_steps(int64_t steps) {
  const __m512 a = _mm512_set1_ps(1.0f), b = a;
  __m512 sum0 = a, sum1 = a, sum2 = a, sum3 = a, sum4 = a, sum5 = a, sum6 = a, sum7 = a, sum8 = a, sum9 = a, sum10 = a,
         sum11 = a;
#define STEP(sum, x, y) _mm512_fmadd_ps(x, y, sum)
  for (int64_t i = 0; i < steps; ++i) {
    STARLING_12_CHAINS
  }
#undef STEP
}

void f32_steps(int64_t steps) {
  const __m256 a = _mm256_set1_ps(1.0f), b = a;
  __m256 sum0 = a, sum1 = a, sum2 = a, sum3 = a, sum4 = a, sum5 = a, sum6 = a, sum7 = a, sum8 = a, sum9 = a, sum10 = a,
         sum11 = a;
#define STEP(sum, x, y) _mm256_fmadd_ps(x, y, sum)
  for (int64_t i = 0; i < steps; ++i) {
    STARLING_12_CHAINS
  }
#undef STEP
}

// The best of several short runs: what other programs take away in one is not there in another.
double operations_per_s(void (*steps)(int64_t), double operations_a_step) {
  constexpr int64_t kSteps = 2'000'000;
  double fastest = 1e30;
  for (int run = 0; run < 8; ++run) {
    const double start = monotonic_s();
    parallel_for(compute_threads(), 1, [&](int64_t begin, int64_t end) { steps(kSteps * (end - begin)); });
    fastest = std::min(fastest, monotonic_s() - start);
  }
  return static_cast<double>(kSteps * kChains * compute_threads()) * operations_a_step / fastest;
}

uint64_t fold(const uint64_t* words, int64_t count) {  // of a multiple of 32
  __m256i sums[8] = {};
  for (int64_t i = 0; i < count; i += 32) {
    for (int lane = 0; lane < 8; ++lane) {
      const auto* at = reinterpret_cast<const __m256i*>(words + i + 4 * lane);
      sums[lane] = _mm256_xor_si256(sums[lane], _mm256_load_si256(at));
    }
  }
  for (int lane = 1; lane < 8; ++lane) sums[0] = _mm256_xor_si256(sums[0], sums[lane]);
  return static_cast<uint64_t>(_mm256_extract_epi64(sums[0], 0) ^ _mm256_extract_epi64(sums[0], 1) ^
                               _mm256_extract_epi64(sums[0], 2) ^ _mm256_extract_epi64(sums[0], 3));
}

}  // namespace

ProductPeaks measure_product_peaks() {
  ProductPeaks peaks;
  const bool wide = __builtin_cpu_supports("avx512f");
  peaks.f32 = wide ? operations_per_s(f32_wide_steps, 32) : operations_per_s(f32_steps, 16);
  peaks.bf16 = __builtin_cpu_supports("avx512bf16") ? operations_per_s(bf16_steps, 64) : peaks.f32;
  peaks.int8 = __builtin_cpu_supports("avx512vnni") ? operations_per_s(int8_steps, 128) : peaks.f32;
  return peaks;
}

double measure_read_bandwidth() {
  constexpr int64_t kBlocks = 1 << 22;  // of 256 bytes: 1 GiB
  constexpr size_t kBytes = size_t{kBlocks} * 256, kHugePage = size_t{2} << 20;
  const std::unique_ptr<uint64_t, decltype(&std::free)> memory(
      static_cast<uint64_t*>(std::aligned_alloc(kHugePage, kBytes)), std::free);
  if (memory == nullptr) throw std::bad_alloc();
  ::madvise(memory.get(), kBytes, MADV_HUGEPAGE);
  const auto for_each_part = [&](const auto& body) {
    parallel_for(kBlocks, 1, [&](int64_t begin, int64_t end) { body(memory.get() + begin * 32, (end - begin) * 32); });
  };
  for_each_part([](uint64_t* words, int64_t count) { std::fill_n(words, count, 1); });
  double fastest = 1e30;
  for (int run = 0; run < 8; ++run) {
    const double start = monotonic_s();
    for_each_part([](const uint64_t* words, int64_t count) {
      volatile uint64_t sink = fold(words, count);
      (void)sink;
    });
    fastest = std::min(fastest, monotonic_s() - start);
  }
  return static_cast<double>(kBytes) / fastest;
}

}  // namespace starling

#include "ops/machine_limits.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "core/error.h"
#include "core/threads.h"
#include "core/time.h"
#include "ops/amx.h"
#include "ops/avx512.h"
#include "ops/matmul.h"
#include "tensor/buffer.h"
#include "tensor/device.h"

#define STARLING_AVX2 __attribute__((target("avx2,fma")))

namespace starling {
namespace {

// Fourteen chains hide a latency of up to seven cycles at two instructions a cycle. The loops are assembly because a
// compiler that keeps sums in memory would measure its stores.
// clang-format off
#define STARLING_CHAINS(I, R) I R "0\n" I R "1\n" I R "2\n" I R "3\n" I R "4\n" I R "5\n" I R "6\n" I R "7\n" \
                              I R "8\n" I R "9\n" I R "10\n" I R "11\n" I R "12\n" I R "13\n"
// A sum of 8-bit products without VNNI takes three instructions and a register for the pairs.
#define STARLING_INT8(P, S) "vpmaddubsw %%ymm14, %%ymm15, %%ymm" P "\n vpmaddwd %%ymm14, %%ymm" P ", %%ymm" P "\n" \
                            "vpaddd %%ymm" P ", %%ymm" S ", %%ymm" S "\n"
#define STARLING_INT8_CHAINS STARLING_INT8("0", "7") STARLING_INT8("1", "8") STARLING_INT8("2", "9") \
                             STARLING_INT8("3", "10") STARLING_INT8("4", "11") STARLING_INT8("5", "12") STARLING_INT8("6", "13")
#define STARLING_LOOP(ROUND)                                                                                      \
  asm volatile("vxorps %%ymm14, %%ymm14, %%ymm14\n vxorps %%ymm15, %%ymm15, %%ymm15\n"                           \
               "1:\n" ROUND ROUND "dec %0\n jnz 1b\n"                                                            \
               : "+r"(rounds) : : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", \
               "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc")
// clang-format on

constexpr double kSums = 28;          // of one round of vectors
constexpr int64_t kRounds = 200'000;  // about a millisecond, long beside the start of a thread
constexpr int64_t kRoundBytes = 32 << 20;

STARLING_AVX2 void f32_avx2(int64_t rounds) {
  STARLING_LOOP(STARLING_CHAINS("vfmadd231ps %%ymm14, %%ymm15, ", "%%ymm"));
}
STARLING_AVX2 void int8_avx2(int64_t rounds) { STARLING_LOOP(STARLING_INT8_CHAINS STARLING_INT8_CHAINS); }
STARLING_AVX512 void f32_avx512(int64_t rounds) {
  STARLING_LOOP(STARLING_CHAINS("vfmadd231ps %%zmm14, %%zmm15, ", "%%zmm"));
}
STARLING_AVX512_BF16 void bf16_avx512(int64_t rounds) {
  STARLING_LOOP(STARLING_CHAINS("vdpbf16ps %%zmm14, %%zmm15, ", "%%zmm"));
}
STARLING_AVX512 void int8_avx512(int64_t rounds) {
  STARLING_LOOP(STARLING_CHAINS("vpdpbusd %%zmm14, %%zmm15, ", "%%zmm"));
}

// Four sums hide the latency of a tile product, about 52 cycles where one starts every 16. A macro, since the
// registers' numbers are part of the instructions' names.
#define STARLING_TILE_LOOP(PRODUCT)                  \
  const AmxTiles tiles({{0, 7, 16, 64}});            \
  for (int64_t round = 0; round < rounds; ++round) { \
    PRODUCT(0, 4, 5);                                \
    PRODUCT(1, 4, 5);                                \
    PRODUCT(2, 4, 5);                                \
    PRODUCT(3, 4, 5);                                \
  }
STARLING_AMX void int8_amx(int64_t rounds){STARLING_TILE_LOOP(_tile_dpbssd)} STARLING_AMX
    void bf16_amx(int64_t rounds) {
  STARLING_TILE_LOOP(_tile_dpbf16ps)
}

struct RegisterLoop {
  void (*run)(int64_t rounds);
  double operations;  // of a round
};

RegisterLoop register_loop(Arithmetic arithmetic) {
  constexpr double kTileSums = 4 * 16 * 16;
  if (arithmetic == Arithmetic::int8 && amx_is_there()) return {int8_amx, kTileSums * 128};
  if (arithmetic == Arithmetic::bf16 && amx_is_there()) return {bf16_amx, kTileSums * 64};
  if (arithmetic == Arithmetic::int8)
    return __builtin_cpu_supports("avx512vnni") ? RegisterLoop{int8_avx512, kSums * 128}
                                                : RegisterLoop{int8_avx2, kSums * 64};
  if (arithmetic != Arithmetic::f32 && __builtin_cpu_supports("avx512bf16")) return {bf16_avx512, kSums * 64};
  return __builtin_cpu_supports("avx512f") ? RegisterLoop{f32_avx512, kSums * 32} : RegisterLoop{f32_avx2, kSums * 16};
}

// Runs a round (which does `amount` of something) on every compute thread at once, again and again for about `seconds`;
// the rate of the best. At once, because two processors may be threads of one core and share its units.
template <class MakeRound>
double best_rate(double amount, double seconds, const MakeRound& make_round) {
  std::vector<decltype(make_round())> rounds;
  for (int thread = 0; thread < compute_threads(); ++thread) rounds.push_back(make_round());
  double fastest = 1e30;
  const double end = monotonic_s() + seconds;
  do {
    const double start = monotonic_s();
    parallel_for(compute_threads(), 1, [&](int64_t begin, int64_t last) {
      for (int64_t thread = begin; thread < last; ++thread) rounds[static_cast<size_t>(thread)]();
    });
    fastest = std::min(fastest, monotonic_s() - start);
  } while (monotonic_s() < end);
  return amount * compute_threads() / fastest;
}

float sum_of(const float* values, int64_t count) {
  constexpr int kChains = 8;  // of 8 lanes: enough loads under way for the first two cache levels
  __m256 sums[kChains] = {};
  for (int64_t i = 0; i < count; i += kChains * 8)
#pragma GCC unroll 8
    for (int chain = 0; chain < kChains; ++chain)
      sums[chain] = _mm256_or_ps(sums[chain], _mm256_loadu_ps(values + i + chain * 8));
  float lanes[8];
#pragma GCC unroll 8
  for (int chain = 1; chain < kChains; ++chain) sums[0] = _mm256_or_ps(sums[0], sums[chain]);
  _mm256_storeu_ps(lanes, sums[0]);
  return *std::max_element(lanes, lanes + 8);
}

}  // namespace

double measure_register_flops(Arithmetic arithmetic, double seconds) {
  const RegisterLoop loop = register_loop(arithmetic);
  return best_rate(loop.operations * kRounds, seconds, [&] { return [loop] { loop.run(kRounds); }; });
}

double measure_read_bytes_per_s(int64_t bytes_per_thread, double seconds) {
  const int64_t count = std::max<int64_t>(64, bytes_per_thread / 4 / 64 * 64);
  const int64_t repeats = std::max<int64_t>(1, kRoundBytes / (count * 4));
  return best_rate(static_cast<double>(repeats * count * 4), seconds, [&] {
    const auto memory = std::make_shared<Buffer>(DType::f32, Shape{count});
    return [memory, count, repeats] {
      for (int64_t i = 0; i < repeats; ++i)
        if (sum_of(memory->tensor().as<float>(), count) != 0)
          throw DeviceError("the memory probe read what it did not write");
    };
  });
}

double measure_peak_flops(DType dtype, Device device) {
  if (device == Device::cuda) return measure_matmul_flops(dtype, 0.3, device);
  const Arithmetic arithmetic = dtype == DType::bf16 ? Arithmetic::bf16 : Arithmetic::f32;
  return std::max(measure_register_flops(arithmetic), measure_matmul_flops(dtype));
}

double measure_memory_bytes_per_s(Device device) {
  if (device == Device::cpu) return measure_read_bytes_per_s(int64_t{512} << 20, 0.5);
  const Buffer from(DType::f32, {int64_t{512} << 20}, device), to(DType::f32, {int64_t{512} << 20}, device);
  double fastest = 1e30;
  for (int round = 0; round < 20; ++round) {
    synchronize(device);
    const double start = monotonic_s();
    copy(to.tensor(), from.tensor());
    synchronize(device);
    fastest = std::min(fastest, monotonic_s() - start);
  }
  return 2.0 * static_cast<double>(from.tensor().bytes()) / fastest;
}

}  // namespace starling

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/bench.h"
#include "core/error.h"
#include "core/threads.h"
#include "core/time.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "tensor/buffer.h"

namespace starling {
namespace {

// Bytes a second of reading 256 MB, well beyond any cache, with all compute threads; the best of five.
double measure_read_bandwidth() {
  const Buffer memory(DType::f32, {64 << 20});
  double fastest = 1e30;
  double sum = 0;
  for (int round = 0; round < 5; ++round) {
    const double start = monotonic_s();
    sum += sum_of_squares(memory.tensor());
    fastest = std::min(fastest, monotonic_s() - start);
  }
  if (sum != 0) throw Error("the memory probe read what it did not write");
  return static_cast<double>(memory.tensor().bytes()) / fastest;
}

void bench_machine(bool json) {
  const double bf16_flops = measure_matmul_flops(DType::bf16), f32_flops = measure_matmul_flops(DType::f32);
  const double bandwidth = measure_read_bandwidth();
  if (json) {
    fmt::print("{}\n", nlohmann::ordered_json{{"threads", compute_threads()},
                                              {"bf16_products_are_fast", bf16_products_are_fast()},
                                              {"bf16_tflops", bf16_flops / 1e12},
                                              {"f32_tflops", f32_flops / 1e12},
                                              {"read_gb_per_s", bandwidth / 1e9}}
                           .dump(2));
    return;
  }
  fmt::print(
      "{} threads\nmatrix product (1024 x 1024 x 1024, oneDNN): bf16 {:.3f} TFLOP/s, f32 {:.3f} TFLOP/s\nmemory read: "
      "{:.1f} GB/s\n",
      compute_threads(), bf16_flops / 1e12, f32_flops / 1e12, bandwidth / 1e9);
}

}  // namespace

void add_bench_machine(CLI::App& bench, const GlobalOptions& options) {
  bench.add_subcommand("machine", "Matrix-product peak and memory bandwidth")->callback([&options] {
    bench_machine(options.json);
  });
}

}  // namespace starling

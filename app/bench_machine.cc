#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>

#include "app/bench.h"
#include "core/json.h"
#include "core/threads.h"
#include "ops/machine_limits.h"
#include "ops/matmul.h"
#include "tensor/device.h"

namespace starling {
namespace {

// Per thread: well inside a cache of 1 MB or more, well beyond it, well beyond any cache.
constexpr int64_t kL2Bytes = 384 << 10, kL3Bytes = 6 << 20, kDramBytes = int64_t{768} << 20;

nlohmann::ordered_json measure_once() {
  const auto tera = [](double value) { return value / 1e12; };
  const auto giga = [](double value) { return value / 1e9; };
  const double bf16 = measure_register_flops(Arithmetic::bf16), f32 = measure_register_flops(Arithmetic::f32);
  const double bf16_product = measure_matmul_flops(DType::bf16), f32_product = measure_matmul_flops(DType::f32);
  return {{"bf16_peak_tflops", tera(std::max(bf16, bf16_product))},
          {"f32_peak_tflops", tera(std::max(f32, f32_product))},
          {"int8_peak_tflops", tera(measure_register_flops(Arithmetic::int8))},
          {"bf16_register_tflops", tera(bf16)},
          {"f32_register_tflops", tera(f32)},
          {"bf16_product_tflops", tera(bf16_product)},
          {"f32_product_tflops", tera(f32_product)},
          {"l2_gb_s", giga(measure_read_bytes_per_s(kL2Bytes))},
          {"l3_gb_s", giga(measure_read_bytes_per_s(kL3Bytes))},
          {"dram_gb_s", giga(measure_read_bytes_per_s(kDramBytes, 1.0))}};
}

// The products and the memory of a GPU.
nlohmann::ordered_json measure_once(Device device) {
  if (device == Device::cpu) return measure_once();
  return {{"bf16_product_tflops", measure_matmul_flops(DType::bf16, 0.5, device) / 1e12},
          {"f32_product_tflops", measure_matmul_flops(DType::f32, 0.5, device) / 1e12},
          {"memory_gb_s", measure_memory_bytes_per_s(device) / 1e9}};
}

void bench_machine(const std::string& device_name, bool json) {
  const Device device = find_device(device_name);
  // Twice: the clock and the neighbours of a shared machine change, and the difference says by how much.
  const nlohmann::ordered_json before = measure_once(device), after = measure_once(device);
  nlohmann::ordered_json best = {{"device", describe(device)},
                                 {"threads", compute_threads()},
                                 {"bf16_products_are_fast", bf16_products_are_fast(device)}};
  for (const auto& [name, value] : before.items())
    best[name] = std::max(value.get<double>(), after[name].get<double>());
  if (json) {
    best["before"] = before, best["after"] = after;
    fmt::print("{}\n", dump_json(best, 2));
    return;
  }
  fmt::print("{}; the better of two measurements, both in brackets\n", describe(device));
  for (const auto& [name, value] : before.items())
    fmt::print("{:22} {:8.3f}  ({:.3f}, {:.3f})\n", name, best[name].get<double>(), value.get<double>(),
               after[name].get<double>());
}

}  // namespace

void add_bench_machine(Command bench, const GlobalOptions& options) {
  Command machine =
      bench.add_subcommand("machine", "Peak of multiply-adds and of products, bandwidth of caches and memory");
  auto device = std::make_shared<std::string>("cpu");
  machine.add_option("--device", *device, "What is measured").one_of({"cpu", "cuda"}).show_default();
  machine.callback([device, &options] { bench_machine(*device, options.json); });
}

}  // namespace starling

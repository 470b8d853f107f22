#include "cluster/hardware.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/error.h"

namespace starling {
namespace {

constexpr double kGiga = 1e9, kTera = 1e12;

// Peaks, memory and links: NVIDIA's data sheets (dense bf16, no sparsity). Server power: DGX A100 6.5 kW, DGX H100/H200
// 10.2 kW, DGX B200 14.3 kW, for 8 GPUs. Prices: the source beside each; cards alone.
const std::vector<Gpu>& catalogue() {
  static const std::vector<Gpu> gpus = {
      {.name = "a100-40g",
       .title = "NVIDIA A100 SXM 40 GB",
       .peak_bf16_flops = 312 * kTera,
       .memory_bytes = 40 * kGiga,
       .memory_bytes_per_s = 1555 * kGiga,
       .link_bytes_per_s = 300 * kGiga,
       .network_bytes_per_s = 25 * kGiga,
       .watts = 400,
       .server_watts_per_gpu = 812,
       .price_low_usd = 10000,
       .price_high_usd = 10000,
       .price_source = "press on Twitter's purchase: \"Nvidia GPU for large AI models that costs $10,000\"",
       .price_date = "2023-04"},
      {.name = "a100-80g",
       .title = "NVIDIA A100 SXM 80 GB",
       .peak_bf16_flops = 312 * kTera,
       .memory_bytes = 80 * kGiga,
       .memory_bytes_per_s = 2039 * kGiga,
       .link_bytes_per_s = 300 * kGiga,
       .network_bytes_per_s = 25 * kGiga,
       .watts = 400,
       .server_watts_per_gpu = 812,
       .price_low_usd = 8000,
       .price_high_usd = 15000,
       .price_source = "mercatus-ai.com, used and refurbished; $10,000 was the press's figure in 2023-04",
       .price_date = "2026"},
      {.name = "h100",
       .title = "NVIDIA H100 SXM 80 GB",
       .peak_bf16_flops = 989 * kTera,
       .sustained_clock = 0.768,
       .memory_bytes = 80 * kGiga,
       .memory_bytes_per_s = 3350 * kGiga,
       .link_bytes_per_s = 450 * kGiga,
       .network_bytes_per_s = 50 * kGiga,
       .watts = 700,
       .server_watts_per_gpu = 1275,
       .price_low_usd = 25000,
       .price_high_usd = 30000,
       .rental_low_usd_per_hour = 2.5,
       .rental_high_usd_per_hour = 3.5,
       .price_source =
           "Raymond James through Barron's (epoch-research/training-cost-trends); rental: runlocalai.co 2026",
       .price_date = "2023"},
      {.name = "h200",
       .title = "NVIDIA H200 SXM 141 GB",
       .peak_bf16_flops = 989 * kTera,
       .sustained_clock = 0.768,
       .memory_bytes = 141 * kGiga,
       .memory_bytes_per_s = 4800 * kGiga,
       .link_bytes_per_s = 450 * kGiga,
       .network_bytes_per_s = 50 * kGiga,
       .watts = 700,
       .server_watts_per_gpu = 1275,
       .price_low_usd = 28000,
       .price_high_usd = 31000,
       .price_source = "runlocalai.co",
       .price_date = "2026-Q1"},
      {.name = "b200",
       .title = "NVIDIA B200 SXM 180 GB",
       .peak_bf16_flops = 2250 * kTera,
       .sustained_clock = 0.942,
       .memory_bytes = 180 * kGiga,
       .memory_bytes_per_s = 8000 * kGiga,
       .link_bytes_per_s = 900 * kGiga,
       .network_bytes_per_s = 50 * kGiga,
       .watts = 1000,
       .server_watts_per_gpu = 1788,
       .price_low_usd = 40000,
       .price_high_usd = 43000,
       .price_source = "runlocalai.co",
       .price_date = "2026-Q1"},
  };
  return gpus;
}

}  // namespace

std::span<const Gpu> gpu_catalogue() { return catalogue(); }

const Gpu& find_gpu(std::string_view name) {
  std::vector<std::string> names;
  for (const Gpu& gpu : catalogue()) {
    if (gpu.name == name) return gpu;
    names.push_back(gpu.name);
  }
  throw ConfigError(fmt::format("no GPU \"{}\" in the catalogue; did you mean \"{}\"? Known: {}", name,
                                nearest_word(name, names), fmt::join(names, ", ")));
}

}  // namespace starling

// The hardware catalogue: what the planner knows of each GPU and of the server and network around it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace starling {

struct Gpu {
  std::string name;            // "a100-80g"
  std::string title;           // "NVIDIA A100 SXM 80 GB"
  double peak_bf16_flops = 0;  // dense, per second
  double sustained_clock = 1;  // share of the peak that the clock holds under load; fitted, A100 = 1
  double memory_bytes = 0;
  double memory_bytes_per_s = 0;                 // HBM bandwidth
  double link_bytes_per_s = 0;                   // NVLink, one direction
  int64_t gpus_per_node = 8;                     // that NVLink joins
  double network_bytes_per_s = 0;                // a GPU's share of the node's network, one direction
  double watts = 0;                              // the card
  double server_watts_per_gpu = 0;               // the server's full power / its GPUs
  double price_low_usd = 0, price_high_usd = 0;  // a card; 0: unknown
  double rental_low_usd_per_hour = 0, rental_high_usd_per_hour = 0;
  std::string price_source, price_date;  // who said it and when
};

std::span<const Gpu> gpu_catalogue();
const Gpu& find_gpu(std::string_view name);  // throws ConfigError naming the nearest

}  // namespace starling

// The settings of `starling serve`, section [server].
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"
#include "infer/kv_cache.h"
#include "infer/weights.h"
#include "server/http_server.h"

namespace starling {

std::vector<ConfigKey> server_config_keys();

struct ServerOptions {
  HttpOptions http;
  std::string page_folder;                            // empty: found beside the program
  std::string model, embedder, writer;                // names of folders under models/
  std::vector<std::string> models;                    // and others that requests may name
  double requests_per_second = 0, request_burst = 0;  // for each API key
  int64_t tokens_per_day = 0;                         // for each API key; 0: no limit
  WeightForm weights = WeightForm::automatic;         // of each model
  CacheForm cache = CacheForm::f16;                   // of each model
  int64_t cache_tokens = 0;                           // of each model, as EngineOptions has it
  double model_idle_s = 0;                            // until a model is freed that a request loaded; 0: never
  bool log_requests = true;
  bool log_content = false;  // bodies too
};

ServerOptions server_options(const Config& config);  // throws ConfigError that names a value out of range

}  // namespace starling

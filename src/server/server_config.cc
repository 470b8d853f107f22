#include "server/server_config.h"

#include <fmt/format.h>

#include <sstream>

#include "core/error.h"

namespace starling {
namespace {

int64_t integer_in(const Config& config, const char* name, int64_t least, int64_t most) {
  const int64_t value = config.integer(name);
  if (value < least || value > most)
    throw ConfigError(fmt::format("{} is {}; it must be from {} to {}", name, value, least, most));
  return value;
}

double positive(const Config& config, const char* name) {
  const double value = config.number(name);
  if (!(value > 0 && value <= 1e9))
    throw ConfigError(fmt::format("{} is {}; it must be more than 0 and at most a thousand million", name, value));
  return value;
}

// "a, b": a and b, which are names and not paths.
std::vector<std::string> model_names(const std::string& list) {
  constexpr size_t kMost = 32;
  std::vector<std::string> names;
  std::istringstream parts(list);
  for (std::string name; std::getline(parts, name, ',');) {
    const size_t begin = name.find_first_not_of(' ');
    if (begin == std::string::npos) continue;
    name = name.substr(begin, name.find_last_not_of(' ') - begin + 1);
    if (name.find('/') != std::string::npos || name.starts_with('.'))
      throw ConfigError(fmt::format("server.models: \"{}\" is not the name of a folder under models/", name));
    names.push_back(name);
  }
  if (names.size() > kMost) throw ConfigError(fmt::format("server.models names more than {} models", kMost));
  return names;
}

HttpOptions http_options(const Config& config) {
  HttpOptions http;
  http.host = config.text("server.host");
  http.port = static_cast<int>(integer_in(config, "server.port", 0, 65535));
  http.tls_certificate = config.text("server.tls_certificate");
  http.tls_key = config.text("server.tls_key");
  if (http.tls_certificate.empty() != http.tls_key.empty())
    throw ConfigError("server.tls_certificate and server.tls_key belong together; give both files, or neither");
  http.max_body_bytes = integer_in(config, "server.max_body_bytes", 1, 1 << 30);
  http.max_header_bytes = integer_in(config, "server.max_header_bytes", 256, 1 << 20);
  http.max_connections = static_cast<int>(integer_in(config, "server.max_connections", 1, 100000));
  http.idle_s = positive(config, "server.idle_s");
  http.header_s = positive(config, "server.header_s");
  http.body_s = positive(config, "server.body_s");
  http.write_s = positive(config, "server.write_s");
  http.drain_s = positive(config, "server.drain_s");
  http.quick_threads = static_cast<int>(integer_in(config, "server.threads", 1, 1024));
  http.max_queued_quick = static_cast<int>(integer_in(config, "server.max_queued", 0, 100000));
  http.generation_threads = static_cast<int>(integer_in(config, "server.generations", 1, 1024));
  http.max_queued_generations = static_cast<int>(integer_in(config, "server.max_queued_generations", 0, 100000));
  return http;
}

}  // namespace

std::vector<ConfigKey> server_config_keys() {
  return {
      {"server.host", std::string("127.0.0.1"),
       "IP address to listen on; use TLS, or a proxy that does, with any other than this machine's own"},
      {"server.port", int64_t{8080}, "TCP port; 0 takes any that is free"},
      {"server.tls_certificate", std::string(), "PEM file of the certificate and its chain; empty: plain HTTP"},
      {"server.tls_key", std::string(), "PEM file of the certificate's private key, without a password"},
      {"server.page_folder", std::string(), "folder of the built page; empty: found beside the program"},
      {"server.model", std::string("own"), "the platform's own model, a folder under models/"},
      {"server.embedder", std::string("own-embed"),
       "the model of search vectors and /v1/embeddings, a folder under models/"},
      {"server.writer", std::string("tinyllama"),
       "the model that writes ads and answers, a folder under models/; else the own model"},
      {"server.models", std::string(),
       "other models that requests may name, folders under models/ separated by commas; loaded when they are used"},
      {"server.model_idle_s", 1800.0,
       "seconds without a request after which the writer and other models are freed until the next one; 0: never"},
      {"server.requests_per_second", 50.0, "requests each API key may make on average"},
      {"server.request_burst", 100.0, "requests each API key may make at once"},
      {"server.tokens_per_day", int64_t{0},
       "tokens each API key may use in a day (UTC), prompts included; 0: no limit"},
      {"server.weights", std::string("auto"),
       "form of the models' weights in memory: auto (8 bits, or 4 where they are exact), f32, bf16, int8 or int4"},
      {"server.cache", std::string("f16"), "form of keys and values in memory: f16, or int8, which takes about half"},
      {"server.cache_tokens", int64_t{0},
       "tokens whose keys and values each model keeps in memory; 0: 1 GB of them, at most 64 contexts"},
      {"server.max_body_bytes", int64_t{1 << 20}, "largest request body, bytes"},
      {"server.max_header_bytes", int64_t{16 << 10}, "largest request head, bytes"},
      {"server.max_connections", int64_t{256}, "connections at the same time; one more is refused"},
      {"server.idle_s", 60.0, "seconds a connection may be silent between requests"},
      {"server.header_s", 10.0, "seconds a request's head may take to arrive"},
      {"server.body_s", 30.0, "seconds a request's body may take to arrive"},
      {"server.write_s", 30.0, "seconds a client may take to read one piece of a response"},
      {"server.drain_s", 10.0, "seconds that requests under way have when the server stops"},
      {"server.threads", int64_t{4}, "threads for searches, reads and writes"},
      {"server.max_queued", int64_t{256}, "requests that may wait for them"},
      {"server.generations", int64_t{32}, "requests to language models that run at the same time, in one batch"},
      {"server.max_queued_generations", int64_t{64}, "requests to language models that may wait"},
      {"server.log_requests", true, "write one line for each request to standard error"},
      {"server.log_content", false, "write there also what each request says: prompts, posts, briefs"},
  };
}

ServerOptions server_options(const Config& config) {
  ServerOptions options;
  options.http = http_options(config);
  options.page_folder = config.text("server.page_folder");
  options.model = config.text("server.model");
  options.embedder = config.text("server.embedder");
  options.writer = config.text("server.writer");
  options.models = model_names(config.text("server.models"));
  options.requests_per_second = positive(config, "server.requests_per_second");
  options.request_burst = positive(config, "server.request_burst");
  options.tokens_per_day = integer_in(config, "server.tokens_per_day", 0, INT64_MAX);
  if (options.request_burst < 1) throw ConfigError("server.request_burst must be at least 1, else no request passes");
  options.weights = weight_form(config.text("server.weights"));
  options.cache = cache_form(config.text("server.cache"));
  options.cache_tokens = integer_in(config, "server.cache_tokens", 0, int64_t{1} << 32);
  options.model_idle_s = config.number("server.model_idle_s");
  if (!(options.model_idle_s >= 0 && options.model_idle_s <= 1e9))
    throw ConfigError(fmt::format("server.model_idle_s is {}; it must be 0 or more", options.model_idle_s));
  options.log_requests = config.boolean("server.log_requests");
  options.log_content = config.boolean("server.log_content");
  return options;
}

}  // namespace starling

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "app/bench.h"
#include "app/load_client.h"
#include "core/error.h"
#include "core/json.h"
#include "core/random.h"
#include "core/threads.h"
#include "core/time.h"
#include "server/platform.h"
#include "server/server.h"

namespace starling {
namespace {

using nlohmann::ordered_json;

constexpr const char* kKeyName = "bench-serve";
constexpr int64_t kForeignVocabulary = 4096;  // of a server we know nothing of: every model has as many tokens

struct BenchServeArguments {
  std::string model, key;
  int port = 0;  // 0: serve the workspace in this process
  double rate = 4;
  int clients = 0;  // 0: open loop
  int requests = 64, prompt = 64, generate = 128;
  int64_t seed = 1;
  LoadObjectives objectives;
};

// The server to be measured: one of our own on a free port of 127.0.0.1, or one that runs already.
class Target {
 public:
  Target(const BenchServeArguments& arguments, const GlobalOptions& options) : load_{arguments.port, arguments.key} {
    if (arguments.port != 0) return;
    share_heaps();
    Config config = options.config();
    for (const char* setting : {"server.host=127.0.0.1", "server.port=0", "server.tls_certificate=", "server.tls_key=",
                                "server.log_requests=false", "server.requests_per_second=1e9",
                                "server.request_burst=1e9", "server.tokens_per_day=0", "server.max_connections=100000",
                                "server.max_queued_generations=100000", "server.write_s=600"})
      config.set(setting);
    config.set("server.model=" + arguments.model);
    server_ = std::make_unique<Server>(options.open_workspace(), config, server_options(config));
    engine_ = server_->platform().models.own();
    if (!engine_) throw ConfigError(server_->platform().problems.at(0));
    server_->start();
    server_->platform().control.revoke_key(kKeyName);  // of a run that was killed
    load_ = {server_->port(), server_->platform().control.create_key(kKeyName, "search")};
  }
  ~Target() {
    if (!server_) return;
    try {
      server_->platform().control.revoke_key(kKeyName);
    } catch (const std::exception&) {  // the next run revokes it
    }
  }

  Engine* engine() const { return engine_; }  // null: another process
  const LoadTarget& load() const { return load_; }

 private:
  LoadTarget load_;
  std::unique_ptr<Server> server_;
  Engine* engine_ = nullptr;
};

// Prompts share nothing, so no cache can help; they are tokens, so their length is exact.
std::vector<TokenId> random_prompt(const BenchServeArguments& arguments, int64_t vocabulary, uint64_t stream) {
  const auto begin = static_cast<uint64_t>(std::min<int64_t>(256, vocabulary / 2));
  const auto count = static_cast<uint64_t>(std::min(vocabulary, kForeignVocabulary)) - begin;
  std::vector<TokenId> tokens;
  for (int i = 0; i < arguments.prompt; ++i)
    tokens.push_back(static_cast<TokenId>(
        begin + random_u64(static_cast<uint64_t>(arguments.seed), stream, static_cast<uint64_t>(i)) % count));
  return tokens;
}

ordered_json request_body(const BenchServeArguments& arguments, std::vector<TokenId> prompt) {
  return {{"model", arguments.model},
          {"prompt", std::move(prompt)},
          {"max_tokens", arguments.generate},
          {"temperature", 0},
          {"ignore_eos", true},
          {"stream", true},
          {"stream_options", {{"include_usage", true}}}};
}

std::vector<LoadRequest> make_requests(const BenchServeArguments& arguments, int64_t vocabulary) {
  const auto count = static_cast<size_t>(arguments.requests);
  const std::vector<double> arrivals =
      arguments.clients > 0 ? std::vector<double>(count)
                            : poisson_arrivals(count, arguments.rate, static_cast<uint64_t>(arguments.seed));
  std::vector<LoadRequest> requests;
  for (size_t i = 0; i < count; ++i)
    requests.push_back({arrivals[i], dump_json(request_body(arguments, random_prompt(arguments, vocabulary, i + 2)))});
  return requests;
}

// What request_body asks a server for.
SamplingOptions sampling_of(const BenchServeArguments& arguments, const Engine& engine) {
  SamplingOptions options{.max_tokens = arguments.generate, .temperature = 0};
  for (const SpecialToken& special : engine.tokenizer().special_tokens())
    options.logit_bias.push_back({special.id, -std::numeric_limits<float>::infinity()});
  return options;
}

// The result first: what arrives over HTTP is what the engine writes, and as long as was asked for.
void check_result(const BenchServeArguments& arguments, const Target& target, int64_t vocabulary) {
  const std::vector<TokenId> prompt = random_prompt(arguments, vocabulary, 1);
  const LoadResult result = run_load(target.load(), {{0, dump_json(request_body(arguments, prompt))}}).front();
  if (!result.done) throw Error("the benchmark's first request failed: " + result.error);
  if (result.completion_tokens != arguments.generate)
    throw Error(
        fmt::format("the server wrote {} tokens instead of {}; --prompt and --generate must fit the model's "
                    "context, and the server must take `ignore_eos`",
                    result.completion_tokens, arguments.generate));
  if (!target.engine()) return;
  if (target.engine()->generate(prompt, sampling_of(arguments, *target.engine())).text != result.text)
    throw Error("the benchmark's result is wrong: the server's text is not what the engine writes alone");
}

// The limit: the same requests handed to the engine directly, all that may run at once in one batch.
double engine_tokens_per_s(const BenchServeArguments& arguments, Engine& engine, size_t at_once) {
  const auto count = std::min<size_t>(static_cast<size_t>(arguments.requests), 2 * at_once);
  const SamplingOptions options = sampling_of(arguments, engine);
  int64_t tokens = 0;
  const double start_s = monotonic_s();
  for (size_t first = 0; first < count; first += at_once) {
    std::vector<GenerationRequest> batch;
    for (size_t i = first; i < std::min(count, first + at_once); ++i)
      batch.push_back({random_prompt(arguments, engine.tokenizer().vocab_size(), i + 2), options});
    for (const Generation& made : engine.generate_all(batch)) tokens += made.completion_tokens;
  }
  return static_cast<double>(tokens) / (monotonic_s() - start_s);
}

ordered_json to_json(const BenchServeArguments& arguments, const LoadSummary& sum) {
  return {{"requests", sum.requests},
          {"failed", sum.failed},
          {"prompt", arguments.prompt},
          {"generate", arguments.generate},
          {"rate", arguments.clients > 0 ? ordered_json() : ordered_json(arguments.rate)},
          {"clients", arguments.clients > 0 ? ordered_json(arguments.clients) : ordered_json()},
          {"seed", arguments.seed},
          {"seconds", sum.seconds},
          {"requests_per_s", sum.requests_per_s},
          {"tokens_per_s", sum.tokens_per_s},
          {"ttft_p50_ms", sum.ttft_p50_ms},
          {"ttft_p99_ms", sum.ttft_p99_ms},
          {"tpot_p50_ms", sum.tpot_p50_ms},
          {"tpot_p99_ms", sum.tpot_p99_ms},
          {"itl_p50_ms", sum.itl_p50_ms},
          {"itl_p99_ms", sum.itl_p99_ms},
          {"objective_ttft_ms", arguments.objectives.ttft_ms},
          {"objective_tpot_ms", arguments.objectives.tpot_ms},
          {"goodput_rps", sum.goodput_rps}};
}

void print_text(const BenchServeArguments& arguments, const ordered_json& result) {
  const auto number = [&](const char* name) { return result[name].get<double>(); };
  fmt::print("{} requests of {} + {} tokens, {}, seed {}; {} failed\n", arguments.requests, arguments.prompt,
             arguments.generate,
             arguments.clients > 0 ? fmt::format("{} clients", arguments.clients)
                                   : fmt::format("Poisson arrivals, {} a second", arguments.rate),
             arguments.seed, result["failed"].get<int>());
  fmt::print("throughput: {:.1f} tokens/s, {:.2f} requests/s", number("tokens_per_s"), number("requests_per_s"));
  if (result.contains("fraction_of_engine"))
    fmt::print("; {:.0f} % of the {:.1f} tokens/s that the engine gives without HTTP",
               number("fraction_of_engine") * 100, number("engine_tokens_per_s"));
  fmt::print(
      "\n                    p50       p99\n"
      "time to first  {:8.1f}  {:8.1f} ms\ntime per token {:8.2f}  {:8.2f} ms\nbetween pieces {:8.2f}  {:8.2f} ms\n"
      "goodput: {:.2f} requests/s with the first token in {} ms and {} ms a token\n",
      number("ttft_p50_ms"), number("ttft_p99_ms"), number("tpot_p50_ms"), number("tpot_p99_ms"), number("itl_p50_ms"),
      number("itl_p99_ms"), number("goodput_rps"), arguments.objectives.ttft_ms, arguments.objectives.tpot_ms);
}

void bench_serve(BenchServeArguments arguments, const GlobalOptions& options) {
  if (arguments.model.empty()) arguments.model = options.config().text("server.model");
  const Target target(arguments, options);
  const int64_t vocabulary = target.engine() ? target.engine()->tokenizer().vocab_size() : kForeignVocabulary;
  check_result(arguments, target, vocabulary);
  LoadTarget load = target.load();
  load.clients = arguments.clients;
  const std::vector<LoadResult> results = run_load(load, make_requests(arguments, vocabulary));
  ordered_json result = to_json(arguments, summarize(results, arguments.objectives));
  if (target.engine()) {
    const int64_t at_once = arguments.clients > 0 ? arguments.clients : options.config().integer("server.generations");
    const double limit = engine_tokens_per_s(arguments, *target.engine(), static_cast<size_t>(at_once));
    result["engine_tokens_per_s"] = limit;
    result["fraction_of_engine"] = result["tokens_per_s"].get<double>() / limit;
  }
  result["threads"] = compute_threads();
  options.json ? fmt::print("{}\n", dump_json(result, 2)) : print_text(arguments, result);
  for (const LoadResult& failed : results)
    if (!failed.done) throw Error("a request failed: " + failed.error);
}

}  // namespace

void add_bench_serve(Command bench, const GlobalOptions& options) {
  Command command = bench.add_subcommand("serve", "Streamed completions under load, checked, timed, on 127.0.0.1");
  auto arguments = std::make_shared<BenchServeArguments>();
  command.add_option("-m,--model", arguments->model, "Model in this workspace (default: server.model)");
  command.add_option("--rate", arguments->rate, "Requests a second, arriving at random whatever the server does")
      .between(1e-3, 1e5)
      .show_default();
  const auto number = [&](const char* name, int& value, int least, const char* help) {
    command.add_option(name, value, help).between(least, 1 << 20).show_default();
  };
  number("--clients", arguments->clients, 0, "Instead of --rate: so many clients, each always waiting for one answer");
  number("--requests", arguments->requests, 1, "Requests in all");
  number("--prompt", arguments->prompt, 1, "Tokens of each prompt");
  number("--generate", arguments->generate, 1, "Tokens of each answer");
  command.add_option("--seed", arguments->seed, "Of arrivals and prompts").show_default();
  command.add_option("--ttft-ms", arguments->objectives.ttft_ms, "Objective of goodput: time to first token")
      .show_default();
  command.add_option("--tpot-ms", arguments->objectives.tpot_ms, "Objective of goodput: time per output token")
      .show_default();
  command.add_option("--port", arguments->port, "Measure the server that runs on this port of 127.0.0.1 instead")
      .between(1, 65535);
  command.add_option("--key", arguments->key, "API key for that server").environment("STARLING_KEY");
  command.footer(
      "Examples:\n  starling bench serve --model own --rate 20 --requests 200 --json\n"
      "  starling bench serve --clients 16 --prompt 64 --generate 128\n"
      "  starling bench serve --port 8081 --model other --clients 16    # any server with OpenAI's API");
  command.callback([arguments, &options] { bench_serve(*arguments, options); });
}

}  // namespace starling

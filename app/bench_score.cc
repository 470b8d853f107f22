#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/bench.h"
#include "app/memory_flags.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/progress.h"
#include "core/stop.h"
#include "core/threads.h"
#include "infer/engine.h"

namespace starling {
namespace {

constexpr int64_t kPart = 50;   // candidates that are scored in one call: each part is a measurement
constexpr size_t kChecked = 8;  // candidates that are also scored alone
constexpr int64_t kPrefillTokens = 512;

struct BenchScoreArguments {
  std::filesystem::path text_file;
  std::string model;
  MemoryFlags memory;
  int64_t candidates = 1000, tokens = 64, query_tokens = 64;
};

// Cuts the file's text into pieces that are about `tokens` tokens each, and exactly so when they are read alone.
class Pieces {
 public:
  Pieces(const Tokenizer& tokenizer, const std::filesystem::path& path)
      : tokenizer_(tokenizer), path_(path), tokens_(tokenizer.encode(MappedFile(path).text())) {}

  std::string next(int64_t tokens) {
    if (place_ + static_cast<size_t>(tokens) > tokens_.size())
      throw DataError(fmt::format("{}: has {} tokens, too few; give a longer text", path_.string(), tokens_.size()));
    place_ += static_cast<size_t>(tokens);
    return tokenizer_.decode(
        std::span(tokens_).subspan(place_ - static_cast<size_t>(tokens), static_cast<size_t>(tokens)));
  }

 private:
  const Tokenizer& tokenizer_;
  std::filesystem::path path_;
  std::vector<TokenId> tokens_;
  size_t place_ = 0;
};

// The result first: candidates scored together have the score that each has alone, to the last bit.
void check(Engine& engine, const std::string& query, std::span<const std::string> candidates,
           std::span<const double> scores) {
  for (size_t i = 0; i < std::min(kChecked, candidates.size()); ++i) {
    const double alone = engine.log_likelihood(query, candidates[i]);
    if (scores[i] != alone || !std::isfinite(alone))
      throw Error(fmt::format("the benchmark's result is wrong: candidate {} scores {} among the others, {} alone", i,
                              scores[i], alone));
  }
}

// Prompts that no cache has seen, whose one generated token is not counted.
double prefill_tokens_per_s(Engine& engine, Pieces& pieces, int rounds) {
  std::vector<double> seconds_per_token;
  for (int round = 0; round < rounds; ++round) {
    const Generation made = engine.complete(pieces.next(kPrefillTokens), {.max_tokens = 1, .temperature = 0});
    seconds_per_token.push_back(made.prefill_s / (made.prompt_tokens - made.cached_tokens));
  }
  return 1.0 / spread_of(std::move(seconds_per_token)).median;
}

nlohmann::ordered_json measure(Engine& engine, const BenchScoreArguments& arguments) {
  Pieces pieces(engine.tokenizer(), arguments.text_file);
  const std::string query = pieces.next(arguments.query_tokens);
  const double before = prefill_tokens_per_s(engine, pieces, 3);
  std::vector<double> seconds_per_token;
  int64_t all_tokens = 0;
  Progress progress("Scoring", static_cast<uint64_t>(arguments.candidates), "candidates");
  for (int64_t left = arguments.candidates; left > 0; left -= kPart) {
    std::vector<std::string> part;
    int64_t tokens = 0;
    while (part.size() < static_cast<size_t>(std::min(left, kPart))) {
      part.push_back(pieces.next(arguments.tokens));
      tokens += static_cast<int64_t>(engine.tokenizer().encode(query + part.back()).size()) - arguments.query_tokens;
    }
    const double start = monotonic_s();
    const std::vector<double> scores = engine.log_likelihoods(query, part);
    seconds_per_token.push_back((monotonic_s() - start) / static_cast<double>(tokens));
    if (all_tokens == 0) check(engine, query, part, scores);
    all_tokens += tokens;
    progress.update(static_cast<uint64_t>(arguments.candidates - std::max<int64_t>(left - kPart, 0)));
    if (stop_requested()) throw Error("stopped before all candidates were scored");
  }
  const double after = prefill_tokens_per_s(engine, pieces, 3), prefill = std::max(before, after);
  const Spread spread = spread_of(std::move(seconds_per_token));
  return {{"model", engine.name()},
          {"weights", arguments.memory.weights},
          {"cache", arguments.memory.cache},
          {"threads", compute_threads()},
          {"candidates", arguments.candidates},
          {"candidate_tokens", all_tokens},
          {"query_tokens", arguments.query_tokens},
          {"score_tokens_per_s", 1 / spread.median},
          {"slowest_score_tokens_per_s", 1 / spread.slowest},
          {"prefill_tokens_per_s", prefill},
          {"prefill_tokens_per_s_before", before},
          {"prefill_tokens_per_s_after", after},
          {"fraction_of_prefill", 1 / spread.median / prefill}};
}

void bench_score(const BenchScoreArguments& arguments, const GlobalOptions& options) {
  const auto engine = Engine::load(options.open_workspace().model(arguments.model), arguments.memory.engine_options());
  const nlohmann::ordered_json result = measure(*engine, arguments);
  if (options.json) return fmt::print("{}\n", dump_json(result, 2));
  fmt::print(
      "{} candidates of {} tokens after a query of {}: {:.1f} tokens/s (median of parts of {}; the slowest {:.1f})\n"
      "prefill of {} tokens alone: {:.1f} tokens/s; scoring reaches {:.0f} % of it\n",
      arguments.candidates, arguments.tokens, arguments.query_tokens, result["score_tokens_per_s"].get<double>(), kPart,
      result["slowest_score_tokens_per_s"].get<double>(), kPrefillTokens, result["prefill_tokens_per_s"].get<double>(),
      result["fraction_of_prefill"].get<double>() * 100);
}

}  // namespace

void add_bench_score(Command bench, const GlobalOptions& options) {
  Command command = bench.add_subcommand("score", "Log-likelihoods of many candidates after one query, beside prefill");
  auto arguments = std::make_shared<BenchScoreArguments>();
  command.add_option("text", arguments->text_file, "A text file to cut query and candidates from")
      .required()
      .existing_file();
  command.add_option("-m,--model", arguments->model, "Model in this workspace").required();
  add_memory_flags(command, arguments->memory);
  add_size(command, "--candidates", arguments->candidates, "Texts that are scored");
  add_size(command, "--tokens", arguments->tokens, "Tokens of each");
  add_size(command, "--query-tokens", arguments->query_tokens, "Tokens of the query before them");
  command.footer("Examples:\n  starling bench score tweets.txt --model tinyllama --weights int8 --json");
  command.callback([arguments, &options] { bench_score(*arguments, options); });
}

}  // namespace starling

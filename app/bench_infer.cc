#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>

#include "app/bench.h"
#include "app/memory_flags.h"
#include "core/error.h"
#include "core/json.h"
#include "core/random.h"
#include "core/threads.h"
#include "core/time.h"
#include "infer/decoder.h"
#include "ops/machine_limits.h"

namespace starling {
namespace {

constexpr int64_t kChunk = 512;         // tokens of one prefill batch
constexpr int64_t kCheckedTokens = 11;  // enough for every kind of tile

constexpr InstructionSet kInstructionSets[] = {InstructionSet::avx2, InstructionSet::avx512_vnni, InstructionSet::amx};

std::vector<std::string> names_of_this_processors() {
  std::vector<std::string> names;
  for (InstructionSet set : kInstructionSets)
    if (set <= best_instruction_set()) names.emplace_back(instruction_set_name(set));
  return names;
}

struct BenchInferArguments {
  std::string model, random = "30m", instructions{instruction_set_name(best_instruction_set())};
  MemoryFlags memory;
  int64_t prompt = 512, generate = 64, batch = 1;
};

// Weights of the right shapes and deviation that stand for no model: enough to time one.
class RandomWeights : public WeightSource {
 public:
  explicit RandomWeights(const ModelConfig& config) {
    for (ParameterShape& parameter : parameter_shapes(config)) shapes_[parameter.name] = std::move(parameter.shape);
  }
  size_t tensor_count() const override { return shapes_.size(); }
  std::unique_ptr<TensorReader> open(const std::string& name) const override {
    const auto found = shapes_.find(name);
    if (found == shapes_.end()) throw DataError("a random model has no tensor " + name);
    return std::make_unique<Reader>(found->second, found->first.size());
  }

 private:
  struct Reader : TensorReader {
    Reader(const std::vector<int64_t>& extents, uint64_t stream) : extents_(extents), stream_(stream) {}
    std::vector<int64_t> shape() const override { return extents_; }
    void read_row(int64_t row, std::span<float> out) const override {
      if (extents_.size() == 1) return std::fill(out.begin(), out.end(), 1.0f);
      // Uniform with a deviation of 1/sqrt(columns): the residual stream keeps its size.
      const float scale = std::sqrt(12.0f / static_cast<float>(out.size()));
      uint64_t state = random_u64(7, stream_, static_cast<uint64_t>(row)) | 1;
      for (float& value : out) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        value = scale * (static_cast<float>(state >> 40) * 0x1p-24f - 0.5f);
      }
    }
    std::vector<int64_t> extents_;
    uint64_t stream_;
  };
  std::map<std::string, std::vector<int64_t>> shapes_;
};

ModelConfig random_shape(const std::string& name) {
  if (name == "1.1b")  // TinyLlama's
    return {.vocab_size = 32000,
            .hidden_size = 2048,
            .intermediate_size = 5632,
            .num_layers = 22,
            .num_heads = 32,
            .num_kv_heads = 4,
            .max_positions = 2048};
  return {.vocab_size = 8192,
          .hidden_size = 512,
          .intermediate_size = 1536,
          .num_layers = 8,
          .num_heads = 8,
          .num_kv_heads = 4,
          .max_positions = 2048,
          .tied_head = true};
}

std::vector<TokenId> random_tokens(int64_t count, int64_t vocabulary, uint64_t stream) {
  std::vector<TokenId> tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back(
        static_cast<TokenId>(random_u64(5, stream, static_cast<uint64_t>(i)) % static_cast<uint64_t>(vocabulary)));
  return tokens;
}

WeightFormat format_of(const Decoder& decoder) { return decoder.weights().layers.front().q.format(); }

std::vector<float> logits_of(Decoder& decoder, CacheForm form, std::span<const TokenId> tokens,
                             InstructionSet instructions) {
  KvPagePool pages(decoder.config(), form);
  KvCache cache(pages);
  decoder.use(instructions);
  const BatchSpan span{&cache, tokens};
  std::vector<float> logits(tokens.size() * static_cast<size_t>(decoder.config().vocab_size));
  decoder.logits(decoder.forward({&span, 1}), logits);
  return logits;
}

// The result first: the kernels that are timed against the plain loops they stand for. They give the same bits, but for
// bf16 on AMX: there rounding, which another order of sums changes, may move a logit by a few percent of their size.
void check_against_reference(Decoder& decoder, CacheForm form, InstructionSet instructions) {
  const std::vector<TokenId> tokens = random_tokens(kCheckedTokens, decoder.config().vocab_size, 1);
  const std::vector<float> wanted = logits_of(decoder, form, tokens, InstructionSet::reference),
                           got = logits_of(decoder, form, tokens, instructions);
  float allowed = 0;
  if (instructions == InstructionSet::amx && format_of(decoder) == WeightFormat::bf16) {
    for (float logit : wanted) allowed += logit * logit;
    allowed = 0.05f * std::sqrt(allowed / static_cast<float>(wanted.size()));
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!(std::abs(got[i] - wanted[i]) <= allowed))
      throw Error(
          fmt::format("the benchmark's result is wrong: logit {} is {}, by the reference {}", i, got[i], wanted[i]));
  }
}

struct Timing {
  double prefill_tokens_per_s = 0, decode_steps_per_s = 0;
  double slowest_prefill = 0, slowest_step_s = 0;
};

Timing time_decoder(Decoder& decoder, const BenchInferArguments& arguments) {
  KvPagePool pages(decoder.config(), cache_form(arguments.memory.cache));
  std::deque<KvCache> caches;
  std::vector<double> prefill_s, step_s;
  std::vector<float> logits(static_cast<size_t>(arguments.batch * decoder.config().vocab_size));
  for (int64_t sequence = 0; sequence < arguments.batch; ++sequence) {
    const std::vector<TokenId> tokens =
        random_tokens(arguments.prompt, decoder.config().vocab_size, static_cast<uint64_t>(sequence) + 2);
    KvCache& cache = caches.emplace_back(pages);
    const double start = monotonic_s();
    for (int64_t first = 0; first < arguments.prompt; first += kChunk) {
      const BatchSpan span{&cache, std::span(tokens).subspan(first, std::min(kChunk, arguments.prompt - first))};
      decoder.forward({&span, 1});
    }
    prefill_s.push_back(monotonic_s() - start);
  }
  std::vector<TokenId> next(static_cast<size_t>(arguments.batch), 3);
  for (int64_t step = 0; step < arguments.generate; ++step) {
    std::vector<BatchSpan> spans;
    for (size_t i = 0; i < next.size(); ++i) spans.push_back({&caches[i], std::span(next).subspan(i, 1)});
    const double start = monotonic_s();
    decoder.logits(decoder.forward(spans), logits);
    step_s.push_back(monotonic_s() - start);
    for (size_t i = 0; i < next.size(); ++i) {
      const auto row = logits.begin() + static_cast<long>(i) * decoder.config().vocab_size;
      next[i] = static_cast<TokenId>(std::max_element(row, row + decoder.config().vocab_size) - row);
    }
  }
  const Spread prefill = spread_of(prefill_s), step = spread_of(step_s);
  const auto prompt = static_cast<double>(arguments.prompt);
  return {prompt / prefill.median, 1.0 / step.median, prompt / prefill.slowest, step.slowest};
}

// Bytes of weights and of keys and values that one decoding step must read.
double bytes_a_step(const Decoder& decoder, const BenchInferArguments& arguments) {
  const LlamaWeights& weights = decoder.weights();
  const double looked_up = decoder.config().tied_head ? 0 : static_cast<double>(weights.embedding.bytes());
  const double context = static_cast<double>(arguments.prompt) + static_cast<double>(arguments.generate) / 2;
  return static_cast<double>(weights.bytes()) - looked_up +
         static_cast<double>(arguments.batch) * context / kPagePositions *
             static_cast<double>(KvPagePool(decoder.config(), cache_form(arguments.memory.cache)).page_bytes());
}

Arithmetic arithmetic_of(WeightFormat format) {
  if (has_scales(format)) return Arithmetic::int8;
  return format == WeightFormat::bf16 ? Arithmetic::bf16 : Arithmetic::f32;
}

nlohmann::ordered_json measure(Decoder& decoder, const BenchInferArguments& arguments) {
  const InstructionSet instructions =
      *std::ranges::find(kInstructionSets, arguments.instructions, instruction_set_name);
  check_against_reference(decoder, cache_form(arguments.memory.cache), instructions);
  decoder.use(instructions);
  const Timing timing = time_decoder(decoder, arguments);
  const double peak = measure_register_flops(arithmetic_of(format_of(decoder)));
  const double bandwidth = measure_read_bytes_per_s(int64_t{512} << 20, 0.5);
  const double flops = timing.prefill_tokens_per_s * decoder.config().forward_flops_per_token(arguments.prompt);
  const double read = timing.decode_steps_per_s * bytes_a_step(decoder, arguments);
  return {{"parameters", decoder.config().parameter_count()},
          {"weights", arguments.memory.weights},
          {"cache", arguments.memory.cache},
          {"weight_bytes", decoder.weights().bytes()},
          {"instructions", arguments.instructions},
          {"threads", compute_threads()},
          {"prompt", arguments.prompt},
          {"generate", arguments.generate},
          {"batch", arguments.batch},
          {"prefill_tokens_per_s", timing.prefill_tokens_per_s},
          {"slowest_prefill_tokens_per_s", timing.slowest_prefill},
          {"decode_tokens_per_s", timing.decode_steps_per_s * static_cast<double>(arguments.batch)},
          {"slowest_step_s", timing.slowest_step_s},
          {"peak_tops", peak / 1e12},
          {"fraction_of_peak", flops / peak},
          {"dram_gb_s", bandwidth / 1e9},
          {"fraction_of_bandwidth", read / bandwidth}};
}

Decoder make_decoder(const BenchInferArguments& arguments, const GlobalOptions& options) {
  const WeightForm form = weight_form(arguments.memory.weights);
  if (arguments.model.empty()) {
    const ModelConfig config = random_shape(arguments.random);
    return {config, load_weights(RandomWeights(config), config, form)};
  }
  const std::filesystem::path folder = options.open_workspace().model(arguments.model);
  const ModelConfig config = ModelConfig::load(folder / "config.json");
  return {config, load_weights(*open_weights(folder, config), config, form)};
}

void bench_infer(const BenchInferArguments& arguments, const GlobalOptions& options) {
  Decoder decoder = make_decoder(arguments, options);
  if (arguments.prompt + arguments.generate > decoder.config().max_positions)
    throw ConfigError(fmt::format("--prompt and --generate together exceed the model's {} positions",
                                  decoder.config().max_positions));
  const nlohmann::ordered_json result = measure(decoder, arguments);
  if (options.json) return fmt::print("{}\n", dump_json(result, 2));
  fmt::print(
      "{:.1f} M parameters, weights {} ({:.0f} MB), cache {}, {} on {} threads; checked against the reference\n"
      "prefill of {}: {:.1f} tokens/s (median of {}), {:.0f} % of the {:.2f} TOP/s measured\n"
      "decode of {}: {:.1f} tokens/s (median of {} steps), {:.0f} % of the {:.1f} GB/s measured\n",
      result["parameters"].get<double>() / 1e6, arguments.memory.weights, result["weight_bytes"].get<double>() / 1e6,
      arguments.memory.cache, arguments.instructions, compute_threads(), arguments.prompt,
      result["prefill_tokens_per_s"].get<double>(), arguments.batch, result["fraction_of_peak"].get<double>() * 100,
      result["peak_tops"].get<double>(), arguments.batch, result["decode_tokens_per_s"].get<double>(),
      arguments.generate, result["fraction_of_bandwidth"].get<double>() * 100, result["dram_gb_s"].get<double>());
}

}  // namespace

void add_bench_infer(Command bench, const GlobalOptions& options) {
  Command command = bench.add_subcommand("infer", "Prefill and decoding of a model, checked, timed, beside the limits");
  auto arguments = std::make_shared<BenchInferArguments>();
  command.add_option("-m,--model", arguments->model, "Model in this workspace; without it random weights");
  command.add_option("--random", arguments->random, "Shape of the random model").one_of({"30m", "1.1b"}).show_default();
  add_memory_flags(command, arguments->memory);
  command.add_option("--instructions", arguments->instructions, "Kernels of this instruction set")
      .one_of(names_of_this_processors())
      .show_default();
  add_size(command, "--prompt", arguments->prompt, "Tokens of each prompt");
  add_size(command, "--generate", arguments->generate, "Decoding steps");
  add_size(command, "--batch", arguments->batch, "Sequences that decode together");
  command.footer(
      "Examples:\n  starling bench infer --model tinyllama --weights int8 --prompt 512 --generate 64 --json\n"
      "  starling bench infer --random 30m --batch 32 --prompt 64");
  command.callback([arguments, &options] { bench_infer(*arguments, options); });
}

}  // namespace starling

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "app/bench.h"
#include "app/operator_table.h"
#include "core/error.h"
#include "core/json.h"
#include "core/random.h"
#include "core/threads.h"
#include "core/time.h"
#include "model/transformer.h"
#include "ops/machine_limits.h"
#include "ops/matmul.h"
#include "ops/profile.h"
#include "tensor/device.h"
#include "train/optimizer.h"
#include "train/options.h"

namespace starling {
namespace {

struct TrainShape {
  int64_t layers = 6, width = 320, heads = 0, vocab = 6144, seq = 256, batch = 16, steps = 5;
  bool muon = false, profile = false;
  std::string device = "cpu", products = "onednn";
};

ModelConfig config_of(const TrainShape& shape) {
  ModelConfig config;
  config.num_layers = shape.layers, config.hidden_size = shape.width,
  config.num_heads = config.num_kv_heads = shape.heads > 0 ? shape.heads : std::max<int64_t>(1, shape.width / 64);
  config.intermediate_size = (shape.width * 14 / 5 + 31) / 32 * 32;
  config.vocab_size = shape.vocab, config.max_positions = shape.seq;
  config.check();
  return config;
}

Batch random_batch(const TrainShape& shape) {
  Batch batch{shape.batch, shape.seq, {}, {}, {}, {}};
  for (int64_t i = 0; i < batch.size(); ++i) {
    const auto token = [&](uint64_t stream) {
      return static_cast<int32_t>(random_u64(1, stream, static_cast<uint64_t>(i)) % static_cast<uint64_t>(shape.vocab));
    };
    batch.tokens.push_back(token(1));
    batch.targets.push_back(token(2));
    batch.positions.push_back(static_cast<int32_t>(i % shape.seq));
    batch.document_starts.push_back(0);
  }
  return batch;
}

// The result first: the same step in f32 must have the same loss within what bf16 loses (8 bits, about 0.4 % a
// rounding).
void check_against_f32(Transformer& model, const Batch& batch) {
  Transformer exact(model.config(), DType::f32, batch.size(), {.device = model.parameters().values().device()});
  exact.parameters().initialize(1);
  const float scale = 1.0f / static_cast<float>(batch.size());
  const double wanted = exact.train(batch, {.scale = scale}) * static_cast<double>(scale),
               got = model.train(batch, {.scale = scale}) * static_cast<double>(scale);
  if (!std::isfinite(got) || std::abs(got - wanted) > 0.01 * wanted)
    throw Error(fmt::format("the benchmark's result is wrong: loss {} in f32, {} in this precision", wanted, got));
}

void bench_train(const TrainShape& shape, bool json) {
  const ModelConfig config = config_of(shape);
  const Device device = find_device(shape.device);
  use_products(TrainOptions{.products = shape.products}.product_kernels());
  const DType compute = bf16_products_are_fast(device) ? DType::bf16 : DType::f32;
  const Batch batch = random_batch(shape);
  const double peak_before = measure_peak_flops(compute, device);
  Transformer model(config, compute, batch.size(), {.device = device});
  model.parameters().initialize(1);
  Optimizer optimizer(model.parameters(), shape.muon);
  check_against_f32(model, batch);
  std::vector<double> seconds;
  if (shape.profile) start_profile(device);
  for (int64_t step = 1; step <= shape.steps; ++step) {
    const double start = monotonic_s();
    model.parameters().zero_gradients();
    model.train(batch, {.scale = 1.0f / static_cast<float>(batch.size())});
    optimizer.step({.step = step, .learning_rate = 1e-4f, .embedding_learning_rate = 1e-4f});
    synchronize(device);
    seconds.push_back(monotonic_s() - start);
  }
  const double total = std::accumulate(seconds.begin(), seconds.end(), 0.0);
  const std::vector<OperatorProfile> operators = stop_profile();
  const double peak_after = measure_peak_flops(compute, device), peak = std::max(peak_before, peak_after);
  nlohmann::ordered_json table;
  if (shape.profile) table = operator_table(operators, total, peak, measure_memory_bytes_per_s(device));
  const Spread spread = spread_of(seconds);
  const double tokens_per_s = static_cast<double>(batch.size()) / spread.median;
  const double flops = tokens_per_s * config.train_flops_per_token(shape.seq);
  if (json) {
    nlohmann::ordered_json result{{"parameters", config.parameter_count()},
                                  {"precision", name_of(compute)},
                                  {"products", shape.products},
                                  {"device", describe(device)},
                                  {"threads", compute_threads()},
                                  {"tokens_per_s", tokens_per_s},
                                  {"tflops", flops / 1e12},
                                  {"peak_tflops", peak / 1e12},
                                  {"fraction_of_peak", flops / peak},
                                  {"slowest_step_s", spread.slowest},
                                  {"fastest_step_s", spread.fastest}};
    result["peak_tflops_before"] = peak_before / 1e12, result["peak_tflops_after"] = peak_after / 1e12;
    if (shape.profile) result["operators"] = table;
    fmt::print("{}\n", dump_json(result, 2));
    return;
  }
  fmt::print(
      "{:.1f} M parameters, {} x {} tokens a step, {}, {}: {:.0f} tokens/s (median of {}; steps {:.3f} to "
      "{:.3f} s)\n"
      "{:.3f} TFLOP/s, {:.0f} % of the measured peak of {:.3f} TFLOP/s\n",
      static_cast<double>(config.parameter_count()) / 1e6, shape.batch, shape.seq, name_of(compute), describe(device),
      tokens_per_s, shape.steps, spread.fastest, spread.slowest, flops / 1e12, flops / peak * 100, peak / 1e12);
  if (shape.profile) print_operator_table(table);
}

}  // namespace

void add_bench_train(Command bench, const GlobalOptions& options) {
  Command train = bench.add_subcommand("train", "A training step, checked against f32 and timed");
  auto shape = std::make_shared<TrainShape>();
  add_size(train, "--layers", shape->layers, "Blocks");
  add_size(train, "--width", shape->width, "Width of the model");
  train.add_option("--heads", shape->heads, "Attention heads (default: one for 64 columns)")
      .between(int64_t{1}, int64_t{1} << 20);
  add_size(train, "--vocab", shape->vocab, "Vocabulary");
  add_size(train, "--seq", shape->seq, "Tokens of a sequence");
  add_size(train, "--batch", shape->batch, "Sequences of a step");
  add_size(train, "--steps", shape->steps, "Timed steps");
  train.add_flag("--muon", shape->muon, "Muon for the blocks' matrices, as in training (default: AdamW for all)");
  train.add_flag("--profile", shape->profile, "A table of operators: time, operations, bytes, percent of the limit");
  train.add_option("--device", shape->device, "Where the model is").one_of({"cpu", "cuda"}).show_default();
  train.add_option("--products", shape->products, "Whose kernels make bf16 products on the CPU (train.products)")
      .one_of({"onednn", "amx"})
      .show_default();
  train.callback([shape, &options] { bench_train(*shape, options.json); });
}

}  // namespace starling

#include "train/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "core/error.h"
#include "tensor/device.h"

namespace starling {

constexpr int64_t kMostMinutes = int64_t{10} * 366 * 24 * 60;  // ten years: what fits into them can be counted

// The double that reads as the float does: 0.004 instead of 0.004000000189989805.
static double as_written(float value) { return std::stod(fmt::format("{}", value)); }

std::vector<ConfigKey> train_config_keys() {
  const TrainOptions t;
  const ModelConfig m;
  return {
      {"model.hidden_size", m.hidden_size, "Width of the model"},
      {"model.intermediate_size", m.intermediate_size, "Width of the feed-forward layers"},
      {"model.layers", m.num_layers, "Blocks"},
      {"model.heads", m.num_heads, "Attention heads; divide the width"},
      {"model.kv_heads", m.num_kv_heads, "Key and value heads; divide the attention heads"},
      {"model.max_positions", m.max_positions, "Longest context in tokens"},
      {"model.tied_head", m.tied_head, "The output head is the embedding"},
      {"model.experts", m.num_experts, "Feed-forwards of a block, each of the width above; 0: one, for all tokens"},
      {"model.experts_per_token", int64_t{2}, "Experts that a token passes"},
      {"model.mixture", "mixtral",
       "What a model with experts is: mixtral, or grok-1, which is not started from bigrams"},
      {"model.router_loss", 0.02, "Weight of the experts' uneven use in nats a token; 0.02 is Mixtral's"},
      {"train.seed", static_cast<int64_t>(t.seed), "Seed of the weights and of the order of the samples"},
      {"train.start", t.start,
       "bigrams: embedding and head begin as which token follows which in the data (not tied ones); or random"},
      {"train.steps", t.steps, "Optimizer steps; 0: as many as train.minutes allows"},
      {"train.minutes", t.minutes, "Time budget in minutes, used when train.steps is 0"},
      {"train.sequence_length", t.sequence_length, "Tokens of a packed sequence"},
      {"train.batch_tokens", t.batch_tokens, "Tokens of an optimizer step"},
      {"train.micro_batch_tokens", t.micro_batch_tokens,
       "Tokens of one forward and backward pass; divides train.batch_tokens"},
      {"train.newest_samples", t.newest_samples, "Train on this many samples, the newest; 0: on all"},
      {"train.optimizer", t.optimizer, "muon (matrices of the blocks; AdamW for the rest) or adamw"},
      {"train.learning_rate", as_written(t.learning_rate), "Peak learning rate of the blocks' matrices"},
      {"train.embedding_learning_rate", as_written(t.embedding_learning_rate),
       "Peak learning rate of embedding, head and norms"},
      {"train.schedule", t.schedule, "linear, wsd (falls as one minus a root) or cosine"},
      {"train.warmup_steps", t.warmup_steps, "Steps in which the rate rises in a line"},
      {"train.decay_fraction", t.decay_fraction, "Last part of the steps, in which the rate falls (linear, wsd)"},
      {"train.final_factor", t.final_factor, "Of the peak rate, at the end of the schedule"},
      {"train.weight_decay", as_written(t.weight_decay), "Decay of matrices, times the learning rate"},
      {"train.clip_norm", as_written(t.clip_norm), "Largest norm of the gradient; 0: not clipped"},
      {"train.z_loss", as_written(t.z_loss), "Weight of the squared log-normaliser of the logits, such as 0.0001"},
      {"train.spike_deviations", t.spike_deviations,
       "Skip an update whose loss or gradient lies so many deviations above the mean; 0: only what is not finite"},
      {"train.recompute", t.recompute, "Less memory for about a third more time: activations are made again"},
      {"train.precision", t.precision, "auto, bf16 or f32: operands of products; weights and sums are f32"},
      {"train.products", t.products,
       "Kernels of bf16 products on the CPU: onednn, amx (own ones) or auto: amx where it is measured a fifth faster"},
      {"train.device", name_of(t.device), "cpu, or cuda: an NVIDIA GPU, in a build with it (cmake --preset cuda)"},
      {"train.log_interval", t.log_interval, "Steps between lines of log.jsonl"},
      {"train.evaluation_interval", t.evaluation_interval, "Steps between evaluations; 0: at the end only"},
      {"train.evaluation_samples", t.evaluation_samples,
       "Later posts that are scored while training, evenly spaced in time"},
      {"train.final_evaluation_samples", t.final_evaluation_samples, "The same at the end; 0: all"},
      {"train.checkpoint_interval", t.checkpoint_interval, "Steps between checkpoints"},
      {"train.keep_checkpoints", t.keep_checkpoints, "Checkpoints to keep"},
      {"train.communicator", t.communicator, "self, mpi (a rank for each process of mpirun) or auto: mpi under mpirun"},
  };
}

TrainOptions train_options(const Config& config) {
  TrainOptions t;
  const auto at_least = [&](const char* name, int64_t least) {
    const int64_t value = config.integer(name);
    if (value < least) throw ConfigError(fmt::format("{} must be at least {}, not {}", name, least, value));
    return value;
  };
  const auto not_negative = [&](const char* name) {
    const double value = config.number(name);
    if (!(value >= 0)) throw ConfigError(fmt::format("{} must not be negative", name));
    return value;
  };
  t.seed = static_cast<uint64_t>(config.integer("train.seed"));
  t.start = config.text("train.start");
  t.steps = at_least("train.steps", 0);
  t.minutes = not_negative("train.minutes");
  if (t.minutes > kMostMinutes) throw ConfigError(fmt::format("train.minutes must be at most {}", kMostMinutes));
  t.sequence_length = at_least("train.sequence_length", 2);
  t.batch_tokens = at_least("train.batch_tokens", t.sequence_length);
  t.micro_batch_tokens = at_least("train.micro_batch_tokens", t.sequence_length);
  t.newest_samples = at_least("train.newest_samples", 0);
  t.optimizer = config.text("train.optimizer");
  t.learning_rate = static_cast<float>(not_negative("train.learning_rate"));
  t.embedding_learning_rate = static_cast<float>(not_negative("train.embedding_learning_rate"));
  t.schedule = config.text("train.schedule");
  t.warmup_steps = at_least("train.warmup_steps", 1);
  t.decay_fraction = std::min(1.0, not_negative("train.decay_fraction"));
  t.weight_decay = static_cast<float>(not_negative("train.weight_decay"));
  t.clip_norm = static_cast<float>(not_negative("train.clip_norm"));
  t.final_factor = std::min(1.0, not_negative("train.final_factor"));
  t.z_loss = static_cast<float>(not_negative("train.z_loss"));
  t.spike_deviations = not_negative("train.spike_deviations");
  t.recompute = config.boolean("train.recompute");
  t.precision = config.text("train.precision");
  t.products = config.text("train.products");
  t.device = find_device(config.text("train.device"));
  t.log_interval = at_least("train.log_interval", 1);
  t.evaluation_interval = at_least("train.evaluation_interval", 0);
  t.evaluation_samples = at_least("train.evaluation_samples", 1);
  t.final_evaluation_samples = at_least("train.final_evaluation_samples", 0);
  t.checkpoint_interval = at_least("train.checkpoint_interval", 1);
  t.keep_checkpoints = at_least("train.keep_checkpoints", 1);
  t.communicator = config.text("train.communicator");
  t.learning_rate_schedule();  // throws for a name that is not known
  if (t.start != "bigrams" && t.start != "random") throw ConfigError("train.start must be bigrams or random");
  if (t.optimizer != "muon" && t.optimizer != "adamw") throw ConfigError("train.optimizer must be muon or adamw");
  if (t.communicator != "auto" && t.communicator != "self" && t.communicator != "mpi")
    throw ConfigError("train.communicator must be auto, self or mpi");
  if (t.precision != "auto" && t.precision != "bf16" && t.precision != "f32")
    throw ConfigError("train.precision must be auto, bf16 or f32");
  if (t.products != "auto" && t.products != "onednn" && t.products != "amx")
    throw ConfigError("train.products must be auto, onednn or amx");
  if (!has_products(t.product_kernels()))
    throw ConfigError(
        "train.products = amx wants a processor with AMX (Intel Xeon since Sapphire Rapids) and Linux 5.16 or later: "
        "set train.products=onednn, or go on there; a run to be resumed has it in its own starling.toml");
  if (t.batch_tokens % t.micro_batch_tokens != 0 || t.micro_batch_tokens % t.sequence_length != 0)
    throw ConfigError(
        fmt::format("train.sequence_length {} must divide train.micro_batch_tokens {}, and that train.batch_tokens {}",
                    t.sequence_length, t.micro_batch_tokens, t.batch_tokens));
  return t;
}

Schedule TrainOptions::learning_rate_schedule() const {
  Schedule s{ScheduleKind::linear, warmup_steps, decay_fraction, final_factor};
  if (schedule == "wsd") s.kind = ScheduleKind::wsd;
  else if (schedule == "cosine") s.kind = ScheduleKind::cosine;
  else if (schedule != "linear") throw ConfigError("train.schedule must be linear, wsd or cosine");
  return s;
}

DType TrainOptions::compute() const {
  if (precision == "auto") return bf16_products_are_fast(device) ? DType::bf16 : DType::f32;
  return precision == "bf16" ? DType::bf16 : DType::f32;
}

ProductKernels TrainOptions::product_kernels() const {
  return products == "amx" ? ProductKernels::amx : ProductKernels::onednn;
}

static void set_mixture(ModelConfig& model, const std::string& name) {
  if (name == "mixtral") model.type = ModelType::mixtral;
  else if (name == "grok-1") model.set_grok1();
  else throw ConfigError(fmt::format("model.mixture must be mixtral or grok-1, not \"{}\"", name));
}

ModelConfig model_config(const Config& config, int64_t vocab_size, int64_t begin_token, int64_t end_token) {
  ModelConfig model;
  model.vocab_size = vocab_size;
  model.hidden_size = config.integer("model.hidden_size");
  model.intermediate_size = config.integer("model.intermediate_size");
  model.num_layers = config.integer("model.layers");
  model.num_heads = config.integer("model.heads");
  model.num_kv_heads = config.integer("model.kv_heads");
  model.max_positions = config.integer("model.max_positions");
  model.tied_head = config.boolean("model.tied_head");
  model.num_experts = config.integer("model.experts");
  if (model.num_experts != 0) {
    set_mixture(model, config.text("model.mixture"));
    model.experts_per_token = config.integer("model.experts_per_token");
    model.router_loss = static_cast<float>(config.number("model.router_loss"));
  }
  model.bos_token = begin_token;
  model.eos_token = end_token;
  model.check();
  if (const int64_t length = config.integer("train.sequence_length"); length > model.max_positions)
    throw ConfigError(
        fmt::format("train.sequence_length {} is above model.max_positions {}", length, model.max_positions));
  return model;
}

}  // namespace starling

#include "train/finetune.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "core/stop.h"
#include "core/time.h"
#include "ops/adamw.h"
#include "ops/elementwise.h"
#include "tensor/device.h"
#include "train/data_loader.h"
#include "train/finetune_checkpoint.h"
#include "train/objectives.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace starling {
namespace {

using Items = Objective::Items;

// AdamW on the adapters, or on all parameters when there are none.
class Updater {
 public:
  Updater(Transformer& model, const FineTuneOptions& options) : model_(model), options_(options) {
    if (!model.lora()) {
      optimizer_.emplace(model.parameters(), false);
      return;
    }
    first_ = Buffer(DType::f32, model.lora()->values().shape());
    second_ = Buffer(DType::f32, model.lora()->values().shape());
  }
  Tensor gradients() const { return model_.lora() ? model_.lora()->gradients() : model_.parameters().gradients(); }
  TuningState state() const {
    if (!optimizer_) return {model_.lora()->values(), first_.tensor(), second_.tensor()};
    return {model_.parameters().values(), optimizer_->first_moment(), optimizer_->second_moment()};
  }
  void refresh_compute() const {
    if (optimizer_) model_.parameters().refresh_compute();
    else model_.lora()->refresh_compute();
  }
  void zero() const { set_zero(gradients()); }

  void step(int64_t step, double rate) {
    const double norm = std::sqrt(sum_of_squares(gradients()));
    if (!std::isfinite(norm)) return spdlog::warn("step {}: the gradient is not finite; the update is skipped", step);
    const bool clip = options_.clip_norm > 0 && norm > options_.clip_norm;
    const auto factor = static_cast<float>(clip ? options_.clip_norm / norm : 1.0), r = static_cast<float>(rate);
    const auto decay = static_cast<float>(options_.weight_decay);
    if (optimizer_)
      return optimizer_->step({.step = step,
                               .learning_rate = r,
                               .embedding_learning_rate = r,
                               .weight_decay = decay,
                               .gradient_scale = factor});
    adamw_step(model_.lora()->values(), first_.tensor(), second_.tensor(), gradients(),
               {.learning_rate = r, .weight_decay = decay, .gradient_scale = factor, .step = step});
    model_.lora()->refresh_compute();
  }

 private:
  Transformer& model_;
  FineTuneOptions options_;
  std::optional<Optimizer> optimizer_;
  Buffer first_, second_;
};

using Batches = std::vector<std::vector<uint32_t>>;

Batches batches_of(const Objective& objective, Items items) {
  Batches batches;
  for (uint32_t item : items) {
    if (!batches.empty()) {
      batches.back().push_back(item);
      if (objective.fits(batches.back())) continue;
      batches.back().pop_back();
    }
    batches.push_back({item});
  }
  return batches;
}

void check_stop() {
  if (stop_requested()) throw Error("fine-tuning was stopped; no model was written");
}

ObjectiveScore score_all(Objective& objective, Items items, const char* what) {
  ObjectiveScore total;
  const Batches batches = batches_of(objective, items);
  Progress progress(what, batches.size(), "batches");
  for (size_t i = 0; i < batches.size(); ++i) {
    check_stop();
    progress.update(i);
    const ObjectiveScore score = objective.score(batches[i]);
    total.loss += score.loss, total.weight += score.weight, total.correct += score.correct;
  }
  progress.update(batches.size());
  return total;
}

struct Split {
  std::vector<uint32_t> train, held_out;
};

// Of the items from `first` on, those that can be trained on, in an order that is a function of the seed.
Split split_items(const Objective& objective, uint32_t first, size_t count, const FineTuneOptions& options) {
  std::vector<uint32_t> usable;
  for (uint32_t item : epoch_order(count, options.seed, -1))
    if (objective.usable(first + item)) usable.push_back(first + item);
  const auto held = static_cast<long>(options.held_out * static_cast<double>(usable.size()));
  Split split{{usable.begin() + held, usable.end()}, {usable.begin(), usable.begin() + held}};
  if (split.train.empty())
    throw DataError(
        fmt::format("none of the {} examples can be trained on: they have no answer, or are longer than {} tokens",
                    count, options.max_length));
  return split;
}

// Preference: scores under the model as it was, a pass over all pairs; nothing for the other objectives.
void begin_all(Objective& objective, const Split& split) {
  Batches batches = batches_of(objective, split.train), held_out = batches_of(objective, split.held_out);
  std::move(held_out.begin(), held_out.end(), std::back_inserter(batches));
  Progress progress("score the pairs", batches.size(), "batches");
  for (size_t i = 0; i < batches.size(); ++i) {
    check_stop();
    objective.begin(batches[i]);
    progress.update(i + 1);
  }
}

// The general set's items, one epoch of it after the other, as each epoch of the training takes its share of them.
class ReplayItems {
 public:
  ReplayItems(const Objective& objective, Items items, uint64_t seed)
      : objective_(objective), items_(items), seed_(seed) {}

  void add_to(std::vector<uint32_t>& order) {
    const double share = objective_.replay_share();
    if (items_.empty() || share <= 0) return;
    int64_t wanted = 0;
    for (uint32_t item : order) wanted += objective_.places(item);
    wanted = std::llround(static_cast<double>(wanted) * share / (1 - share));
    while (wanted > 0) {
      order.push_back(next());
      wanted -= objective_.places(order.back());
    }
  }

 private:
  uint32_t next() {
    if (next_ == order_.size()) order_ = epoch_order(items_.size(), seed_, epoch_++), next_ = 0;
    return items_[order_[next_++]];
  }
  const Objective& objective_;
  Items items_;
  uint64_t seed_;
  int64_t epoch_ = 0;
  std::vector<uint32_t> order_;
  size_t next_ = 0;
};

Batches all_batches(const Objective& objective, Items items, Items replay, const FineTuneOptions& options) {
  Batches all;
  ReplayItems general(objective, replay, options.seed);
  for (int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    std::vector<uint32_t> mixed(items.begin(), items.end()), order;
    general.add_to(mixed);
    for (uint32_t at : epoch_order(mixed.size(), options.seed, epoch)) order.push_back(mixed[at]);
    Batches batches = batches_of(objective, order);
    std::move(batches.begin(), batches.end(), std::back_inserter(all));
  }
  return all;
}

// Of all that decides what the steps do: options, and which items, of what lengths, each of them takes.
std::string digest_of(const Objective& objective, const Batches& batches, const FineTuneOptions& o) {
  std::string text =
      fmt::format("{} {} {} {} {} {} {} {} {} {}", o.checkpoint.base, o.seed, o.max_length, o.batch_tokens,
                  o.learning_rate, o.weight_decay, o.clip_norm, o.held_out, o.beta, o.temperature);
  for (const std::vector<uint32_t>& batch : batches) {
    text += '/';
    for (uint32_t item : batch) text += fmt::format(" {}:{}", item, objective.places(item));
  }
  return fmt::format("{:016x}", hash64(text));
}

// One pass over the batches, the rate rising and then falling in a line. Returns the number of trained values.
int64_t train_batches(Transformer& model, Objective& objective, const Batches& batches,
                      const FineTuneOptions& options) {
  Updater updater(model, options);
  const auto total = static_cast<int64_t>(batches.size());
  const FineTuneCheckpoint& checkpoint = options.checkpoint;
  const bool is_kept = !checkpoint.folder.empty();
  const std::string digest = is_kept ? digest_of(objective, batches, options) : "";
  const int64_t first = load_tuning(checkpoint, updater.state(), digest);
  if (first > 0) updater.refresh_compute();
  const Schedule schedule{.warmup_steps = std::max<int64_t>(1, total * 3 / 100), .decay_fraction = 1.0};
  Progress progress("finetune", batches.size(), "steps", static_cast<uint64_t>(first));
  double kept_s = monotonic_s();
  for (int64_t step = first; step < total; ++step) {
    if (!is_kept) check_stop();
    updater.zero();
    const double loss = objective.train(batches[static_cast<size_t>(step)]);
    updater.step(step + 1, options.learning_rate * schedule.factor(step, total));
    progress.update(static_cast<uint64_t>(step + 1), fmt::format("loss {:.3f}", loss));
    if (!is_kept || !(stop_requested() || step + 1 == total || monotonic_s() - kept_s >= checkpoint.interval_s))
      continue;
    save_tuning(checkpoint, updater.state(), step + 1, digest);  // at the end, too: the scores that follow take long
    kept_s = monotonic_s();
    if (stop_requested())
      throw Error(fmt::format("fine-tuning was stopped after step {} of {}; the same command with --resume goes on",
                              step + 1, total));
  }
  return updater.gradients().elements();
}

FineTuneResult tune(Transformer& model, Objective& objective, const FineTuneOptions& options) {
  const double start = monotonic_s();
  if (options.max_length > model.config().max_positions)
    throw ConfigError(fmt::format("finetune: examples of {} tokens are longer than the model's {} positions",
                                  options.max_length, model.config().max_positions));
  const Split split = split_items(objective, 0, objective.count(), options);
  Split general;
  if (objective.replay_count() > 0)
    general = split_items(objective, static_cast<uint32_t>(objective.count()), objective.replay_count(), options);
  const Items judged = split.held_out.empty() ? split.train : split.held_out;
  const Items remembered = general.held_out.empty() ? general.train : general.held_out;
  begin_all(objective, split);
  FineTuneResult result{
      .examples = static_cast<int64_t>(split.train.size()),
      .held_out = static_cast<int64_t>(split.held_out.size()),
      .passed_over = static_cast<int64_t>(objective.count() - split.train.size() - split.held_out.size()),
      .replay_examples = static_cast<int64_t>(general.train.size()),
      .replay_held_out = static_cast<int64_t>(general.held_out.size())};
  const Batches batches = all_batches(objective, split.train, general.train, options);
  result.steps = static_cast<int64_t>(batches.size());
  const ObjectiveScore before = score_all(objective, judged, "score before");
  if (before.weight == 0)
    spdlog::warn("nothing can be scored: no batch holds texts of two groups; larger batches hold more");
  result.loss_before = before.mean();
  result.accuracy_before = before.accuracy();
  result.general_before = score_all(objective, remembered, "score the general set").mean();
  result.trained_parameters = train_batches(model, objective, batches, options);
  const ObjectiveScore after = score_all(objective, judged, "score after");
  if (!std::isfinite(after.loss))
    throw Error(
        fmt::format("fine-tuning diverged (loss {} before, {} after): lower the learning rate; no model was written",
                    before.mean(), after.mean()));
  result.loss_after = after.mean();
  result.accuracy_after = after.accuracy();
  result.general_after = score_all(objective, remembered, "score the general set").mean();
  result.seconds = monotonic_s() - start;
  return result;
}

}  // namespace

int64_t places_of(const FineTuneOptions& options) { return std::max(options.batch_tokens, 2 * options.max_length); }

FineTuneResult finetune(Transformer& model, std::span<const FineTuneExample> examples, const FineTuneOptions& options,
                        const Replay& replay) {
  if (!(replay.share >= 0 && replay.share < 1))
    throw ConfigError(
        fmt::format("finetune: the share of the general set must lie in [0, 1), not be {}", replay.share));
  return tune(model, *make_supervised(model, examples, options, replay), options);
}

FineTuneResult finetune(Transformer& model, std::span<const PreferencePair> pairs, const FineTuneOptions& options) {
  return tune(model, *make_preference(model, pairs, options), options);
}

FineTuneResult finetune(Transformer& model, std::span<const TextPair> pairs, const FineTuneOptions& options) {
  if (!(options.temperature > 0))
    throw ConfigError(fmt::format("finetune: the temperature must be above 0, not {}", options.temperature));
  return tune(model, *make_contrastive(model, pairs, options), options);
}

}  // namespace starling

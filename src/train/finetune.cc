#include "train/finetune.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/progress.h"
#include "core/stop.h"
#include "core/time.h"
#include "ops/adamw.h"
#include "ops/elementwise.h"
#include "train/data_loader.h"
#include "train/optimizer.h"
#include "train/schedule.h"

namespace starling {
namespace {

using Items = std::span<const uint32_t>;

int64_t count_places(const FineTuneExample& e) { return static_cast<int64_t>(e.tokens.size()) - 1; }

// Writes an example from place `at` of the batch on; `start` is that place within its row.
void write_example(Batch& batch, size_t at, int64_t start, const FineTuneExample& example) {
  const int64_t n = count_places(example), first_answer = n - example.answer_tokens;
  for (int64_t i = 0; i < n; ++i, ++at) {
    batch.tokens[at] = example.tokens[static_cast<size_t>(i)];
    batch.targets[at] = i < first_answer ? -1 : example.tokens[static_cast<size_t>(i) + 1];
    batch.positions[at] = static_cast<int32_t>(i);
    batch.document_starts[at] = static_cast<int32_t>(start);
  }
}

// Unused places see only themselves and are not scored.
Batch empty_batch(int64_t rows, int64_t length) {
  const auto size = static_cast<size_t>(rows * length);
  Batch batch{rows,
              length,
              std::vector<int32_t>(size, 0),
              std::vector<int32_t>(size, -1),
              std::vector<int32_t>(size, 0),
              std::vector<int32_t>(size)};
  for (size_t i = 0; i < size; ++i) batch.document_starts[i] = static_cast<int32_t>(static_cast<int64_t>(i) % length);
  return batch;
}

struct Score {
  double loss = 0, weight = 0, correct = 0;  // sums over what was scored
  double mean() const { return weight > 0 ? loss / weight : 0; }
};

// What is minimised. Items are examples or pairs.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual size_t count() const = 0;
  virtual size_t replay_count() const { return 0; }  // items from count() on, of a general set
  virtual double replay_share() const { return 0; }
  virtual int64_t places(uint32_t item) const = 0;
  virtual bool usable(uint32_t item) const = 0;
  virtual bool fits(Items items) const = 0;  // into one batch
  virtual void begin(Items) {}               // before the first step
  virtual void train(Items items) = 0;       // forward and backward of the mean loss
  virtual Score score(Items items) = 0;
};

class Supervised : public Objective {
 public:
  Supervised(Transformer& model, std::span<const FineTuneExample> examples, const FineTuneOptions& options,
             const Replay& replay)
      : model_(model),
        examples_(examples),
        replay_(replay),
        length_(std::min(options.max_length, options.batch_tokens)),
        rows_(std::max<int64_t>(1, options.batch_tokens / length_)) {}

  size_t count() const override { return examples_.size(); }
  size_t replay_count() const override { return replay_.examples.size(); }
  double replay_share() const override { return replay_.share; }
  int64_t places(uint32_t item) const override { return count_places(at(item)); }
  bool usable(uint32_t item) const override {
    const FineTuneExample& e = at(item);
    return e.answer_tokens > 0 && places(item) >= e.answer_tokens && places(item) <= length_;
  }
  bool fits(Items items) const override {
    int64_t rows = 1, used = 0;
    for (uint32_t item : items) {
      if (used + places(item) > length_) ++rows, used = 0;
      used += places(item);
    }
    return rows <= rows_;
  }
  void train(Items items) override {
    const Batch batch = pack(items);
    model_.train(batch, {.scale = 1.0f / static_cast<float>(batch.scored())});
  }
  Score score(Items items) override {
    const Batch batch = pack(items);
    Score score{.weight = static_cast<double>(batch.scored())};
    for (float nats : model_.score(batch)) score.loss += static_cast<double>(nats);
    return score;
  }

 private:
  const FineTuneExample& at(uint32_t item) const {
    return item < examples_.size() ? examples_[item] : replay_.examples[item - examples_.size()];
  }
  Batch pack(Items items) const {
    std::vector<const FineTuneExample*> chosen;
    for (uint32_t item : items) chosen.push_back(&at(item));
    return pack_examples(chosen, length_);
  }
  Transformer& model_;
  std::span<const FineTuneExample> examples_;
  Replay replay_;
  int64_t length_, rows_;
};

// Rows 2 i and 2 i + 1 of a batch are the chosen and the rejected answer of pair i.
class Preference : public Objective {
 public:
  Preference(Transformer& model, std::span<const PreferencePair> pairs, const FineTuneOptions& options)
      : model_(model), pairs_(pairs), options_(options), before_(pairs.size()) {}

  size_t count() const override { return pairs_.size(); }
  int64_t places(uint32_t item) const override {
    return count_places(pairs_[item].chosen) + count_places(pairs_[item].rejected);
  }
  bool usable(uint32_t item) const override {
    const auto good = [&](const FineTuneExample& e) {
      return e.answer_tokens > 0 && count_places(e) >= e.answer_tokens && count_places(e) <= options_.max_length;
    };
    return good(pairs_[item].chosen) && good(pairs_[item].rejected);
  }
  bool fits(Items items) const override {
    return items.size() == 1 || 2 * static_cast<int64_t>(items.size()) * length_of(items) <= options_.batch_tokens;
  }
  void begin(Items items) override {
    const std::vector<double> nats = row_nats(items);
    for (size_t i = 0; i < items.size(); ++i) before_[items[i]] = {nats[2 * i], nats[2 * i + 1]};
  }
  void train(Items items) override {
    model_.train_sequences(batch_of(items), [&](std::span<const double> nats) {
      std::vector<float> weights;
      for (size_t i = 0; i < items.size(); ++i) {
        const double slope = options_.beta / (1 + std::exp(margin(items, nats, i))) / static_cast<double>(items.size());
        weights.push_back(static_cast<float>(slope));
        weights.push_back(static_cast<float>(-slope));
      }
      return weights;
    });
  }
  Score score(Items items) override {
    const std::vector<double> nats = row_nats(items);
    Score score{.weight = static_cast<double>(items.size())};
    for (size_t i = 0; i < items.size(); ++i) {
      const double z = margin(items, nats, i);
      score.loss += std::log1p(std::exp(-std::abs(z))) + std::max(-z, 0.0);  // -log sigmoid(z)
      score.correct += z > 0;
    }
    return score;
  }

 private:
  int64_t length_of(Items items) const {
    int64_t length = 1;
    for (uint32_t item : items)
      length = std::max({length, count_places(pairs_[item].chosen), count_places(pairs_[item].rejected)});
    return length;
  }
  Batch batch_of(Items items) const {
    const int64_t length = length_of(items);
    Batch batch = empty_batch(2 * static_cast<int64_t>(items.size()), length);
    for (size_t i = 0; i < items.size(); ++i) {
      write_example(batch, 2 * i * static_cast<size_t>(length), 0, pairs_[items[i]].chosen);
      write_example(batch, (2 * i + 1) * static_cast<size_t>(length), 0, pairs_[items[i]].rejected);
    }
    return batch;
  }
  std::vector<double> row_nats(Items items) {
    const Batch batch = batch_of(items);
    const std::vector<float> nats = model_.score(batch);
    std::vector<double> sums(static_cast<size_t>(batch.sequences), 0.0);
    for (size_t i = 0; i < nats.size(); ++i)
      sums[i / static_cast<size_t>(batch.length)] += static_cast<double>(nats[i]);
    return sums;
  }
  // beta ((c - c0) - (r - r0)), where c = -nats.
  double margin(Items items, std::span<const double> nats, size_t i) const {
    const auto& [chosen, rejected] = before_[items[i]];
    return options_.beta * ((chosen - nats[2 * i]) - (rejected - nats[2 * i + 1]));
  }

  Transformer& model_;
  std::span<const PreferencePair> pairs_;
  FineTuneOptions options_;
  std::vector<std::array<double, 2>> before_;  // nats of chosen and rejected before tuning
};

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
  void zero() const { std::fill_n(gradients().as<float>(), gradients().elements(), 0.0f); }

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

Score score_all(Objective& objective, Items items) {
  Score total;
  for (const std::vector<uint32_t>& batch : batches_of(objective, items)) {
    if (stop_requested()) throw Error("fine-tuning was stopped; no model was written");
    const Score score = objective.score(batch);
    total.loss += score.loss, total.weight += score.weight, total.correct += score.correct;
  }
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

// One pass over the batches, the rate rising and then falling in a line. Returns the number of trained values.
int64_t train_batches(Transformer& model, Objective& objective, const Batches& batches,
                      const FineTuneOptions& options) {
  Updater updater(model, options);
  const auto total = static_cast<int64_t>(batches.size());
  const Schedule schedule{.warmup_steps = std::max<int64_t>(1, total * 3 / 100), .decay_fraction = 1.0};
  Progress progress("finetune", batches.size(), "steps");
  for (int64_t step = 0; step < total; ++step) {
    if (stop_requested()) throw Error("fine-tuning was stopped; no model was written");
    updater.zero();
    objective.train(batches[static_cast<size_t>(step)]);
    updater.step(step + 1, options.learning_rate * schedule.factor(step, total));
    progress.update(static_cast<uint64_t>(step + 1));
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
  for (const std::vector<uint32_t>* items : {&split.train, &split.held_out})
    for (const std::vector<uint32_t>& batch : batches_of(objective, *items)) objective.begin(batch);
  FineTuneResult result{
      .examples = static_cast<int64_t>(split.train.size()),
      .held_out = static_cast<int64_t>(split.held_out.size()),
      .passed_over = static_cast<int64_t>(objective.count() - split.train.size() - split.held_out.size()),
      .replay_examples = static_cast<int64_t>(general.train.size()),
      .replay_held_out = static_cast<int64_t>(general.held_out.size())};
  const Batches batches = all_batches(objective, split.train, general.train, options);
  result.steps = static_cast<int64_t>(batches.size());
  result.loss_before = score_all(objective, judged).mean();
  result.general_before = score_all(objective, remembered).mean();
  result.trained_parameters = train_batches(model, objective, batches, options);
  const Score after = score_all(objective, judged);
  result.loss_after = after.mean();
  result.accuracy_after = after.correct / after.weight;
  result.general_after = score_all(objective, remembered).mean();
  result.seconds = monotonic_s() - start;
  return result;
}

}  // namespace

int64_t places_of(const FineTuneOptions& options) { return std::max(options.batch_tokens, 2 * options.max_length); }

Batch pack_examples(std::span<const FineTuneExample* const> examples, int64_t length) {
  std::vector<std::pair<int64_t, int64_t>> at;  // row, place
  int64_t rows = 0, used = length;
  for (const FineTuneExample* example : examples) {
    const int64_t n = count_places(*example);
    if (n > length) throw ShapeError(fmt::format("an example of {} places does not fit a row of {}", n, length));
    if (used + n > length) ++rows, used = 0;
    at.emplace_back(rows - 1, used);
    used += n;
  }
  Batch batch = empty_batch(rows, length);
  for (size_t i = 0; i < examples.size(); ++i)
    write_example(batch, static_cast<size_t>(at[i].first * length + at[i].second), at[i].second, *examples[i]);
  return batch;
}

FineTuneResult finetune(Transformer& model, std::span<const FineTuneExample> examples, const FineTuneOptions& options,
                        const Replay& replay) {
  if (!(replay.share >= 0 && replay.share < 1))
    throw ConfigError(
        fmt::format("finetune: the share of the general set must lie in [0, 1), not be {}", replay.share));
  Supervised objective(model, examples, options, replay);
  return tune(model, objective, options);
}

FineTuneResult finetune(Transformer& model, std::span<const PreferencePair> pairs, const FineTuneOptions& options) {
  Preference objective(model, pairs, options);
  return tune(model, objective, options);
}

}  // namespace starling

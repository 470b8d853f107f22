#include "train/objectives.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace starling {
namespace {

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
  int64_t places(uint32_t item) const override { return at(item).places(); }
  bool usable(uint32_t item) const override {
    const FineTuneExample& e = at(item);
    return e.answer_tokens > 0 && places(item) >= e.answer_tokens && places(item) <= length_;
  }
  bool fits(Items items) const override { return packed_rows(chosen(items), length_) <= rows_; }
  double train(Items items) override {
    const Batch batch = pack(items);
    const auto scored = static_cast<double>(batch.scored());
    return model_.train(batch, {.scale = static_cast<float>(1 / scored)}) / scored;
  }
  ObjectiveScore score(Items items) override {
    const Batch batch = pack(items);
    ObjectiveScore score{.weight = static_cast<double>(batch.scored())};
    for (float nats : model_.score(batch)) score.loss += static_cast<double>(nats);
    return score;
  }

 private:
  const FineTuneExample& at(uint32_t item) const {
    return item < examples_.size() ? examples_[item] : replay_.examples[item - examples_.size()];
  }
  std::vector<const FineTuneExample*> chosen(Items items) const {
    std::vector<const FineTuneExample*> chosen;
    for (uint32_t item : items) chosen.push_back(&at(item));
    return chosen;
  }
  Batch pack(Items items) const { return pack_examples(chosen(items), length_).batch; }

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
  int64_t places(uint32_t item) const override { return pairs_[item].chosen.places() + pairs_[item].rejected.places(); }
  bool usable(uint32_t item) const override {
    const auto good = [&](const FineTuneExample& e) {
      return e.answer_tokens > 0 && e.places() >= e.answer_tokens && e.places() <= options_.max_length;
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
  double train(Items items) override {
    double loss = 0;
    model_.train_sequences(batch_of(items), [&](std::span<const double> nats) {
      std::vector<float> weights;
      for (size_t i = 0; i < items.size(); ++i) {
        const double slope = options_.beta / (1 + std::exp(margin(items, nats, i))) / static_cast<double>(items.size());
        weights.push_back(static_cast<float>(slope));
        weights.push_back(static_cast<float>(-slope));
        loss += loss_of(margin(items, nats, i));
      }
      return weights;
    });
    return loss / static_cast<double>(items.size());
  }
  ObjectiveScore score(Items items) override {
    const std::vector<double> nats = row_nats(items);
    ObjectiveScore score{.weight = static_cast<double>(items.size())};
    for (size_t i = 0; i < items.size(); ++i) {
      const double z = margin(items, nats, i);
      score.loss += loss_of(z);
      score.correct += z > 0;
    }
    return score;
  }

 private:
  int64_t length_of(Items items) const {
    int64_t length = 1;
    for (uint32_t item : items)
      length = std::max({length, pairs_[item].chosen.places(), pairs_[item].rejected.places()});
    return length;
  }
  Batch batch_of(Items items) const {
    std::vector<const FineTuneExample*> rows;
    for (uint32_t item : items) rows.insert(rows.end(), {&pairs_[item].chosen, &pairs_[item].rejected});
    return one_example_a_row(rows);
  }
  std::vector<double> row_nats(Items items) {
    const Batch batch = batch_of(items);
    const std::vector<float> nats = model_.score(batch);
    std::vector<double> sums(static_cast<size_t>(batch.sequences), 0.0);
    for (size_t i = 0; i < nats.size(); ++i)
      sums[i / static_cast<size_t>(batch.length)] += static_cast<double>(nats[i]);
    return sums;
  }
  static double loss_of(double z) { return std::log1p(std::exp(-std::abs(z))) + std::max(-z, 0.0); }  // -log sigmoid(z)
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

}  // namespace

std::unique_ptr<Objective> make_supervised(Transformer& model, std::span<const FineTuneExample> examples,
                                           const FineTuneOptions& options, const Replay& replay) {
  return std::make_unique<Supervised>(model, examples, options, replay);
}

std::unique_ptr<Objective> make_preference(Transformer& model, std::span<const PreferencePair> pairs,
                                           const FineTuneOptions& options) {
  return std::make_unique<Preference>(model, pairs, options);
}

}  // namespace starling

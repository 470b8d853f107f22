// What fine-tuning minimises, behind one interface: finetune.cc trains any of them alike. The formulas are in
// finetune.h.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "train/finetune.h"

namespace starling {

struct ObjectiveScore {
  double loss = 0, weight = 0, correct = 0;  // sums over what was scored
  double mean() const { return weight > 0 ? loss / weight : 0; }
  double accuracy() const { return weight > 0 ? correct / weight : 0; }
};

// Items are examples or pairs.
class Objective {
 public:
  using Items = std::span<const uint32_t>;

  virtual ~Objective() = default;
  virtual size_t count() const = 0;
  virtual size_t replay_count() const { return 0; }  // items from count() on, of a general set
  virtual double replay_share() const { return 0; }
  virtual int64_t places(uint32_t item) const = 0;
  virtual bool usable(uint32_t item) const = 0;
  virtual bool fits(Items items) const = 0;  // into one batch
  virtual void begin(Items) {}               // before the first step
  virtual double train(Items items) = 0;     // forward and backward of the mean loss, which is returned
  virtual ObjectiveScore score(Items items) = 0;
};

// They keep references to the model and to the spans' elements.
std::unique_ptr<Objective> make_supervised(Transformer& model, std::span<const FineTuneExample> examples,
                                           const FineTuneOptions& options, const Replay& replay);
std::unique_ptr<Objective> make_preference(Transformer& model, std::span<const PreferencePair> pairs,
                                           const FineTuneOptions& options);
std::unique_ptr<Objective> make_contrastive(Transformer& model, std::span<const TextPair> pairs,
                                            const FineTuneOptions& options);

}  // namespace starling

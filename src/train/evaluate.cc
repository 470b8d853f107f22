#include "train/evaluate.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "core/progress.h"
#include "core/stop.h"

namespace starling {
namespace {

// Packs windows of samples into sequences of the model's length and scores a batch when it is full.
class Scorer {
 public:
  Scorer(Transformer& model, const ScoreOptions& options)
      : model_(model),
        length_(std::min(model.config().max_positions, options.batch_tokens)),
        sequences_(std::max<int64_t>(1, options.batch_tokens / length_)),
        stop_is_error_(!options.ends_with_a_stop) {
    clear();
  }

  void add(const Sample& sample) {
    const auto tokens = static_cast<int64_t>(sample.tokens.size());
    int64_t context = 0;
    for (int64_t scored = 0; scored < tokens;) {
      const int64_t first = scored - context, last = std::min(tokens, first + length_);
      add_window(sample, first, scored, last);
      scored = last;
      context = length_ / 2;
    }
    score_.samples += 1;
    score_.tokens += tokens;
    score_.text_bytes += sample.text_bytes;
  }

  SplitScore finish() {
    flush();
    return score_;
  }

 private:
  void add_window(const Sample& sample, int64_t first, int64_t scored, int64_t last) {
    if (place_ % length_ + (last - first) > length_) place_ = (place_ / length_ + 1) * length_;
    if (place_ == sequences_ * length_) flush();
    const int64_t start = place_ % length_;
    for (int64_t token = first; token < last; ++token, ++place_) {
      const auto at = static_cast<size_t>(place_);
      batch_.tokens[at] =
          token == 0 ? static_cast<int32_t>(model_.config().bos_token) : sample.tokens[static_cast<size_t>(token - 1)];
      batch_.targets[at] = token < scored ? -1 : sample.tokens[static_cast<size_t>(token)];
      batch_.positions[at] = static_cast<int32_t>(token - first);
      batch_.document_starts[at] = static_cast<int32_t>(start);
    }
  }

  void flush() {
    if (place_ == 0) return;
    if (stop_is_error_ && stop_requested()) throw Error("evaluation was stopped");
    for (float nats : model_.score(batch_)) score_.nats += static_cast<double>(nats);
    clear();
  }

  void clear() {
    const auto size = static_cast<size_t>(sequences_ * length_);
    batch_ = {sequences_,
              length_,
              std::vector<int32_t>(size, 0),
              std::vector<int32_t>(size, -1),
              std::vector<int32_t>(size, 0),
              std::vector<int32_t>(size)};
    for (size_t i = 0; i < size; ++i)
      batch_.document_starts[i] = static_cast<int32_t>(static_cast<int64_t>(i) % length_);
    place_ = 0;
  }

  Transformer& model_;
  int64_t length_, sequences_, place_ = 0;
  bool stop_is_error_;
  Batch batch_;
  SplitScore score_;
};

}  // namespace

double SplitScore::bits_per_byte() const {
  return text_bytes > 0 ? nats / std::log(2.0) / static_cast<double>(text_bytes) : 0.0;
}

SplitScore score_split(Transformer& model, const SampleSource& source, const ScoreOptions& options) {
  Scorer scorer(model, options);
  std::optional<Progress> progress;
  if (!options.progress.empty()) progress.emplace(options.progress, source.count, "samples");
  for (uint64_t i = 0; i < source.count; ++i) {
    if (options.ends_with_a_stop && stop_requested()) break;
    if (progress) progress->update(i);
    const Sample sample = source.read(i);
    if (!source.is_masked || !source.is_masked(sample)) scorer.add(sample);
  }
  const SplitScore score = scorer.finish();
  if (progress) progress->update(source.count);
  return score;
}

}  // namespace starling

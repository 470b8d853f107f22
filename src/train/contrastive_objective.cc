#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/threads.h"
#include "ops/elementwise.h"
#include "tensor/buffer.h"
#include "tensor/device.h"
#include "train/info_nce.h"
#include "train/objectives.h"

namespace starling {
namespace {

// The embeddings of the texts of a packed batch, and back: e = s / |s|, s = sum of the hidden states of a text's
// places.
class TextPooling {
 public:
  TextPooling(const PackedExamples& packed, std::span<const FineTuneExample* const> texts, int64_t width)
      : begins_(packed.begins), texts_(texts), width_(width), lengths_(texts.size()), unit_(texts.size() * size()) {}

  // hidden [B*T, C] in f32. Returns [texts, C].
  std::span<const float> embed(ConstTensor hidden) {
    each_text([&](size_t text, float* e, int64_t begin, int64_t end) {
      std::fill(e, e + width_, 0.0f);
      for (int64_t place = begin; place < end; ++place)
        for (int64_t c = 0; c < width_; ++c) e[c] += hidden.as<float>()[place * width_ + c];
      double squares = 1e-24;  // of a text whose states cancel each other
      for (int64_t c = 0; c < width_; ++c) squares += static_cast<double>(e[c]) * static_cast<double>(e[c]);
      lengths_[text] = static_cast<float>(std::sqrt(squares));
      for (int64_t c = 0; c < width_; ++c) e[c] /= lengths_[text];
    });
    return unit_;
  }

  // From d loss / d e: ds = (de - e (e . de)) / |s|, the same for each of the text's places. dhidden [B*T, C], f32,
  // comes zeroed.
  void spread(Tensor dhidden, std::span<const float> de) {
    each_text([&](size_t text, const float* e, int64_t begin, int64_t end) {
      const float* d = de.data() + text * size();
      float dot = 0;
      for (int64_t c = 0; c < width_; ++c) dot += e[c] * d[c];
      for (int64_t place = begin; place < end; ++place)
        for (int64_t c = 0; c < width_; ++c)
          dhidden.as<float>()[place * width_ + c] = (d[c] - e[c] * dot) / lengths_[text];
    });
  }

 private:
  size_t size() const { return static_cast<size_t>(width_); }
  template <typename Body>
  void each_text(const Body& body) {
    parallel_for(static_cast<int64_t>(texts_.size()), 4, [&](int64_t first, int64_t last) {
      for (auto text = static_cast<size_t>(first); text < static_cast<size_t>(last); ++text)
        body(text, unit_.data() + text * size(), begins_[text], begins_[text] + texts_[text]->places());
    });
  }

  std::span<const int64_t> begins_;
  std::span<const FineTuneExample* const> texts_;
  int64_t width_;
  std::vector<float> lengths_, unit_;
};

class Contrastive : public Objective {
 public:
  Contrastive(Transformer& model, std::span<const TextPair> pairs, const FineTuneOptions& options)
      : model_(model),
        pairs_(pairs),
        length_(std::min(options.max_length, options.batch_tokens)),
        rows_(std::max<int64_t>(2, options.batch_tokens / length_)),
        temperature_(options.temperature) {}

  size_t count() const override { return pairs_.size(); }
  int64_t places(uint32_t item) const override { return pairs_[item].anchor.places() + pairs_[item].positive.places(); }
  bool usable(uint32_t item) const override {
    const auto good = [&](const FineTuneExample& e) { return e.places() > 0 && e.places() <= length_; };
    return good(pairs_[item].anchor) && good(pairs_[item].positive);
  }
  bool fits(Items items) const override { return packed_rows(texts_of(items), length_) <= rows_; }
  double train(Items items) override { return run(items, true).loss / static_cast<double>(items.size()); }
  ObjectiveScore score(Items items) override { return run(items, false); }

 private:
  // Anchors, then positives: the order of info_nce.
  std::vector<const FineTuneExample*> texts_of(Items items) const {
    std::vector<const FineTuneExample*> texts;
    for (uint32_t item : items) texts.push_back(&pairs_[item].anchor);
    for (uint32_t item : items) texts.push_back(&pairs_[item].positive);
    return texts;
  }

  ObjectiveScore run(Items items, bool backward) {
    const std::vector<const FineTuneExample*> texts = texts_of(items);
    const PackedExamples packed = pack_examples(texts, length_);
    const ConstTensor hidden = model_.forward(packed.batch);
    const Buffer memory(DType::f32, hidden.shape());
    const Tensor states = memory.tensor();  // then their gradients
    convert(states, hidden);
    TextPooling pooling(packed, texts, model_.config().hidden_size);
    const std::span<const float> embeddings = pooling.embed(states);
    std::vector<uint64_t> groups;
    for (uint32_t item : items) groups.push_back(pairs_[item].group);
    std::vector<float> gradients(embeddings.size());
    const double loss = info_nce(embeddings, groups, temperature_, gradients);
    if (backward) {
      set_zero(states);
      pooling.spread(states, gradients);
      const Buffer low(hidden.dtype(), hidden.shape());
      convert(low.tensor(), states);
      model_.backward(packed.batch, low.tensor());
    }
    return {loss * static_cast<double>(items.size()), static_cast<double>(count_choices(groups)),
            static_cast<double>(count_nearest(embeddings, groups))};
  }

  // Where all are of one group nothing is chosen: the loss is 0 then, and every partner the nearest.
  static size_t count_choices(std::span<const uint64_t> groups) {
    const bool alike = std::ranges::count(groups, groups.front()) == std::ssize(groups);
    return alike ? 0 : groups.size();
  }

  // Anchors that are nearer to their partner than to any other that is not of their group.
  static int64_t count_nearest(std::span<const float> embeddings, std::span<const uint64_t> groups) {
    const size_t n = count_choices(groups), width = embeddings.size() / (2 * groups.size());
    const auto cosine = [&](size_t i, size_t j) {
      const float *a = embeddings.data() + i * width, *b = embeddings.data() + (n + j) * width;
      return std::inner_product(a, a + width, b, 0.0f);
    };
    int64_t count = 0;
    for (size_t i = 0; i < n; ++i) {
      const float own = cosine(i, i);
      bool nearest = true;
      for (size_t j = 0; j < n && nearest; ++j) nearest = groups[i] == groups[j] || cosine(i, j) < own;
      count += nearest;
    }
    return count;
  }

  Transformer& model_;
  std::span<const TextPair> pairs_;
  int64_t length_, rows_;
  float temperature_;
};

}  // namespace

std::unique_ptr<Objective> make_contrastive(Transformer& model, std::span<const TextPair> pairs,
                                            const FineTuneOptions& options) {
  return std::make_unique<Contrastive>(model, pairs, options);
}

}  // namespace starling

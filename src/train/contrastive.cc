#include "train/contrastive.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/file.h"
#include "core/progress.h"
#include "core/stop.h"
#include "core/time.h"
#include "model/model_folder.h"
#include "model/transformer.h"
#include "ops/elementwise.h"
#include "ops/matmul.h"
#include "tokenizer/tokenizer.h"
#include "train/checkpoint.h"
#include "train/data_loader.h"
#include "train/lineage.h"
#include "train/optimizer.h"

namespace starling {
namespace {

using TextPairs = std::span<const std::pair<std::string, std::string>>;

// Adds one direction of the loss: row i of `from` should choose row i of `to`.
double add_direction(const float* from, const float* to, int64_t n, int64_t C, float temperature, float* dfrom,
                     float* dto) {
  std::vector<double> p(static_cast<size_t>(n));
  double loss = 0;
  for (int64_t i = 0; i < n; ++i) {
    double largest = -1e30, sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      double dot = 0;
      for (int64_t c = 0; c < C; ++c) dot += static_cast<double>(from[i * C + c]) * static_cast<double>(to[j * C + c]);
      p[static_cast<size_t>(j)] = dot / static_cast<double>(temperature);
      largest = std::max(largest, p[static_cast<size_t>(j)]);
    }
    const double chosen = p[static_cast<size_t>(i)];
    for (double& value : p) sum += value = std::exp(value - largest);
    loss += (largest + std::log(sum) - chosen) / (2.0 * static_cast<double>(n));
    for (int64_t j = 0; j < n; ++j) {
      const double gradient = p[static_cast<size_t>(j)] / sum - (i == j ? 1.0 : 0.0);
      const auto factor =
          static_cast<float>(gradient / (2.0 * static_cast<double>(n) * static_cast<double>(temperature)));
      for (int64_t c = 0; c < C; ++c) {
        dfrom[i * C + c] += factor * to[j * C + c];
        dto[j * C + c] += factor * from[i * C + c];
      }
    }
  }
  return loss;
}

struct Document {
  int64_t first = 0, tokens = 0;  // places in the batch
};

// Mean-pooled, normalised embeddings, and the way back.
class Pooling {
 public:
  Pooling(std::vector<Document> documents, int64_t C)
      : documents_(std::move(documents)), C_(C), lengths_(documents_.size()) {}

  std::vector<float> forward(ConstTensor hidden) {
    std::vector<float> embeddings(documents_.size() * static_cast<size_t>(C_), 0.0f);
    dispatch_float(hidden.dtype(), "pooling", [&]<class T>(T) {
      for (size_t d = 0; d < documents_.size(); ++d)
        pool(hidden.as<T>(), d, embeddings.data() + d * static_cast<size_t>(C_));
    });
    return embeddings;
  }

  // d mean = (d e - e (e . d e)) / |mean|, shared out to the document's places.
  void backward(Tensor dhidden, const std::vector<float>& embeddings, const std::vector<float>& gradients) const {
    std::memset(dhidden.data(), 0, static_cast<size_t>(dhidden.bytes()));
    dispatch_float(dhidden.dtype(), "pooling", [&]<class T>(T) {
      for (size_t d = 0; d < documents_.size(); ++d) {
        const float* e = embeddings.data() + d * static_cast<size_t>(C_);
        const float* g = gradients.data() + d * static_cast<size_t>(C_);
        float dot = 0;
        for (int64_t c = 0; c < C_; ++c) dot += e[c] * g[c];
        const float share = 1.0f / (lengths_[d] * static_cast<float>(documents_[d].tokens));
        for (int64_t place = documents_[d].first; place < documents_[d].first + documents_[d].tokens; ++place)
          for (int64_t c = 0; c < C_; ++c) dhidden.as<T>()[place * C_ + c] = from_float<T>((g[c] - e[c] * dot) * share);
      }
    });
  }

 private:
  template <class T>
  void pool(const T* hidden, size_t d, float* embedding) {
    const Document& document = documents_[d];
    for (int64_t place = document.first; place < document.first + document.tokens; ++place)
      for (int64_t c = 0; c < C_; ++c)
        embedding[c] += to_float(hidden[place * C_ + c]) / static_cast<float>(document.tokens);
    float squares = 1e-12f;
    for (int64_t c = 0; c < C_; ++c) squares += embedding[c] * embedding[c];
    lengths_[d] = std::sqrt(squares);
    for (int64_t c = 0; c < C_; ++c) embedding[c] /= lengths_[d];
  }

  std::vector<Document> documents_;
  int64_t C_;
  std::vector<float> lengths_;
};

// One text a sequence, so that sequences have a fixed length; unused places see only themselves.
Batch batch_of(const std::vector<std::vector<TokenId>>& texts, int64_t length, int64_t begin_token,
               std::vector<Document>& documents) {
  const auto size = texts.size() * static_cast<size_t>(length);
  Batch batch{static_cast<int64_t>(texts.size()), length,
              std::vector<int32_t>(size, 0),      std::vector<int32_t>(size, -1),
              std::vector<int32_t>(size, 0),      std::vector<int32_t>(size, 0)};
  for (size_t t = 0; t < texts.size(); ++t) {
    const int64_t tokens = std::min(length, static_cast<int64_t>(texts[t].size()) + 1);
    const int64_t first = static_cast<int64_t>(t) * length;
    documents.push_back({first, tokens});
    for (int64_t i = 0; i < length; ++i) {
      const auto at = static_cast<size_t>(first + i);
      if (i < tokens)
        batch.tokens[at] = i == 0 ? static_cast<int32_t>(begin_token) : texts[t][static_cast<size_t>(i - 1)];
      batch.positions[at] = i < tokens ? static_cast<int32_t>(i) : 0;
      batch.document_starts[at] = i < tokens ? 0 : static_cast<int32_t>(i);
    }
  }
  return batch;
}

class Tuner {
 public:
  Tuner(const std::filesystem::path& folder, const EmbeddingTuneOptions& options)
      : options_(options),
        config_(ModelConfig::load(folder / "config.json")),
        tokenizer_(Tokenizer::load(folder / "tokenizer.json")),
        length_(std::min(options.max_tokens, config_.max_positions)),
        model_(config_, bf16_products_are_fast() ? DType::bf16 : DType::f32, 2 * options.batch_pairs * length_),
        optimizer_(model_.parameters(), false),
        dhidden_(bf16_products_are_fast() ? DType::bf16 : DType::f32,
                 {2 * options.batch_pairs * length_, config_.hidden_size}) {
    load_parameters(model_.parameters(), folder / "model.safetensors");
  }

  double step(TextPairs pairs, const std::vector<uint32_t>& chosen, int64_t step, double fraction_left) {
    std::vector<std::vector<TokenId>> texts;
    for (uint32_t index : chosen) texts.push_back(tokenizer_->encode(pairs[index].first));
    for (uint32_t index : chosen) texts.push_back(tokenizer_->encode(pairs[index].second));
    std::vector<Document> documents;
    const Batch batch = batch_of(texts, length_, config_.bos_token, documents);
    Pooling pooling(std::move(documents), config_.hidden_size);
    const std::vector<float> embeddings = pooling.forward(model_.forward(batch));
    std::vector<float> gradients(embeddings.size(), 0.0f);
    const double loss = info_nce(embeddings, static_cast<int64_t>(chosen.size()), options_.temperature, gradients);
    const Tensor dhidden = dhidden_.tensor().rows(0, batch.size());
    pooling.backward(dhidden, embeddings, gradients);
    model_.parameters().zero_gradients();
    model_.backward(batch, dhidden);
    const double norm = std::sqrt(sum_of_squares(model_.parameters().gradients()));
    const auto rate = static_cast<float>(static_cast<double>(options_.learning_rate) * fraction_left);
    optimizer_.step({.step = step,
                     .learning_rate = rate,
                     .embedding_learning_rate = rate,
                     .gradient_scale = static_cast<float>(norm > 1.0 ? 1.0 / norm : 1.0)});
    return loss;
  }

  void save(const std::filesystem::path& source, const std::filesystem::path& target) const {
    write_folder_atomic(target, [&](const std::filesystem::path& hidden) {
      config_.save(hidden / "config.json");
      save_parameters(const_cast<Transformer&>(model_).parameters(), hidden / "model.safetensors");
      write_file_atomic(hidden / "tokenizer.json", read_file(source / "tokenizer.json"));
      SeenIds seen;
      if (std::filesystem::exists(source / "seen.bin")) seen.merge(source / "seen.bin");
      for (const auto& [post, author] : options_.seen) {
        seen.add("post", post);
        seen.add("author", author);
      }
      seen.save(hidden / "seen.bin");
    });
  }

 private:
  EmbeddingTuneOptions options_;
  ModelConfig config_;
  std::unique_ptr<Tokenizer> tokenizer_;
  int64_t length_;
  Transformer model_;
  Optimizer optimizer_;
  Buffer dhidden_;
};

double mean_of(const std::vector<double>& values, size_t first, size_t count) {
  double sum = 0;
  for (size_t i = first; i < first + count; ++i) sum += values[i];
  return sum / static_cast<double>(count);
}

}  // namespace

double info_nce(std::span<const float> embeddings, int64_t pairs, float temperature, std::span<float> gradients) {
  const int64_t C = static_cast<int64_t>(embeddings.size()) / (2 * pairs);
  const float *a = embeddings.data(), *b = a + pairs * C;
  float *da = gradients.data(), *db = da + pairs * C;
  return add_direction(a, b, pairs, C, temperature, da, db) + add_direction(b, a, pairs, C, temperature, db, da);
}

EmbeddingTuneResult tune_embeddings(const std::filesystem::path& model_folder,
                                    const std::filesystem::path& output_folder, TextPairs pairs,
                                    const EmbeddingTuneOptions& options) {
  if (pairs.size() < 2) throw DataError("tuning embeddings needs at least two pairs of texts; index more posts first");
  Tuner tuner(model_folder, options);
  const auto batch = static_cast<size_t>(std::min<int64_t>(options.batch_pairs, static_cast<int64_t>(pairs.size())));
  const size_t steps_per_epoch = pairs.size() / batch;
  const size_t total = steps_per_epoch * static_cast<size_t>(options.epochs);
  Progress progress("tune embeddings", total, "steps");
  std::vector<double> losses;
  std::vector<uint32_t> order;
  const double start = monotonic_s();
  while (losses.size() < total && monotonic_s() - start < options.seconds) {
    if (stop_requested()) throw Error("tuning was stopped; the model was not changed");
    const size_t at = losses.size() % steps_per_epoch;
    if (at == 0) order = epoch_order(pairs.size(), options.seed, static_cast<int64_t>(losses.size() / steps_per_epoch));
    const std::vector<uint32_t> chosen(order.begin() + static_cast<long>(at * batch),
                                       order.begin() + static_cast<long>((at + 1) * batch));
    const double done = std::max(static_cast<double>(losses.size()) / static_cast<double>(total),
                                 (monotonic_s() - start) / options.seconds);
    losses.push_back(tuner.step(pairs, chosen, static_cast<int64_t>(losses.size()) + 1, std::max(0.0, 1.0 - done)));
    progress.update(losses.size());
  }
  tuner.save(model_folder, output_folder);
  const size_t tenth = std::max<size_t>(1, losses.size() / 10);
  if (losses.empty()) return {};
  return {static_cast<int64_t>(losses.size()), static_cast<int64_t>(losses.size() * batch), mean_of(losses, 0, tenth),
          mean_of(losses, losses.size() - tenth, tenth)};
}

}  // namespace starling

#include "train/contrastive.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>

#include "core/error.h"
#include "core/file.h"
#include "core/progress.h"
#include "core/random.h"
#include "core/stop.h"
#include "core/threads.h"
#include "core/time.h"
#include "model/model_folder.h"
#include "tokenizer/tokenizer.h"
#include "train/data_loader.h"
#include "train/info_nce.h"
#include "train/lineage.h"

namespace starling {
namespace {

constexpr double kFrequentToken = 1e-3;   // a of a / (a + p): Arora et al. 2017
constexpr float kConstantNormEps = 1e4f;  // rows' mean squares stay below 1: the norm divides by 100, whatever the row
constexpr float kBeta1 = 0.9f, kBeta2 = 0.999f, kAdamEps = 1e-8f;
constexpr uint64_t kDrawStream = 0x5e1ec7, kChoiceStream = 0xc401ce;

// The distinct words of all texts: their tokens, and how many texts hold them.
class Words {
 public:
  explicit Words(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  std::vector<uint32_t> read(const std::string& text, size_t limit) {
    std::vector<uint32_t> ids;
    for (size_t begin = 0; begin < text.size() && ids.size() < limit;) {
      const size_t end = std::min(text.find(' ', begin), text.size());
      if (end > begin) ids.push_back(id_of(text.substr(begin, end - begin)));
      begin = end + 1;
    }
    std::vector<uint32_t> distinct = ids;
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    for (const uint32_t id : distinct) ++texts_with_[id];
    ++texts_;
    return ids;
  }
  const std::vector<TokenId>& tokens(uint32_t word) const { return tokens_[word]; }
  double rarity(uint32_t word) const { return std::log(1.0 + static_cast<double>(texts_) / texts_with_[word]); }

 private:
  uint32_t id_of(const std::string& word) {
    const auto [entry, fresh] = ids_.try_emplace(word, static_cast<uint32_t>(tokens_.size()));
    if (fresh) {
      tokens_.push_back(tokenizer_.encode_continuation(" " + word));  // in the middle of a text a word follows a space
      texts_with_.push_back(0);
    }
    return entry->second;
  }

  const Tokenizer& tokenizer_;
  std::unordered_map<std::string, uint32_t> ids_;
  std::vector<std::vector<TokenId>> tokens_;
  std::vector<uint32_t> texts_with_;
  uint64_t texts_ = 0;
};

// The token embedding and its Adam moments; only rows that a batch touches move.
class EmbeddingTable {
 public:
  EmbeddingTable(Tensor rows, int64_t C)
      : rows_(rows.as<float>()),
        C_(C),
        rows_count_(rows.elements() / C),
        gradient_(rows.elements()),
        first_(rows.elements()),
        second_(rows.elements()),
        touched_(static_cast<size_t>(rows_count_)) {}

  // Mean removed, rows of length 1, then a / (a + p). Tokens that no text holds keep the weight of a rare one.
  void weigh(const std::vector<double>& frequency) {
    std::vector<double> mean(static_cast<size_t>(C_), 0.0);
    for (int64_t r = 0; r < rows_count_; ++r)
      for (int64_t c = 0; c < C_; ++c) mean[static_cast<size_t>(c)] += row(r)[c] / static_cast<double>(rows_count_);
    for (int64_t r = 0; r < rows_count_; ++r) {
      double squares = 1e-12;
      for (int64_t c = 0; c < C_; ++c) {
        row(r)[c] -= static_cast<float>(mean[static_cast<size_t>(c)]);
        squares += static_cast<double>(row(r)[c]) * row(r)[c];
      }
      const double weight = kFrequentToken / (kFrequentToken + frequency[static_cast<size_t>(r)]);
      for (int64_t c = 0; c < C_; ++c) row(r)[c] *= static_cast<float>(weight / std::sqrt(squares));
    }
  }
  void clear(int64_t token) { std::fill(row(token), row(token) + C_, 0.0f); }

  // embeddings[d] = s / |s|; keeps |s|.
  void pool(const std::vector<std::vector<TokenId>>& bags, std::vector<float>& embeddings) {
    lengths_.assign(bags.size(), 1.0f);
    parallel_for(static_cast<int64_t>(bags.size()), 8, [&](int64_t begin, int64_t end) {
      for (int64_t d = begin; d < end; ++d) {
        float* e = embeddings.data() + d * C_;
        std::fill(e, e + C_, 0.0f);
        for (const TokenId token : bags[static_cast<size_t>(d)])
          for (int64_t c = 0; c < C_; ++c) e[c] += row(token)[c];
        float squares = 1e-12f;
        for (int64_t c = 0; c < C_; ++c) squares += e[c] * e[c];
        const float length = lengths_[static_cast<size_t>(d)] = std::sqrt(squares);
        for (int64_t c = 0; c < C_; ++c) e[c] /= length;
      }
    });
  }

  // From d loss / d e: ds = (de - e (e . de)) / |s|, added to the row of each of the text's tokens.
  void add_gradients(const std::vector<std::vector<TokenId>>& bags, const std::vector<float>& embeddings,
                     std::vector<float>& gradients) {
    for (size_t d = 0; d < bags.size(); ++d) {
      const float* e = embeddings.data() + d * static_cast<size_t>(C_);
      float* g = gradients.data() + d * static_cast<size_t>(C_);
      float dot = 0;
      for (int64_t c = 0; c < C_; ++c) dot += e[c] * g[c];
      for (int64_t c = 0; c < C_; ++c) g[c] = (g[c] - e[c] * dot) / lengths_[d];
      for (const TokenId token : bags[d]) touched_[static_cast<size_t>(token)] = 1;
    }
    // Split by columns: two texts may share a token, and the order of the sum must not depend on the threads.
    parallel_for(C_, 16, [&](int64_t begin, int64_t end) {
      for (size_t d = 0; d < bags.size(); ++d)
        for (const TokenId token : bags[d])
          for (int64_t c = begin; c < end; ++c)
            gradient_[static_cast<size_t>(token * C_ + c)] +=
                gradients[d * static_cast<size_t>(C_) + static_cast<size_t>(c)];
    });
  }

  void step(int64_t step, float learning_rate) {
    const float correct1 = 1.0f - std::pow(kBeta1, static_cast<float>(step));
    const float correct2 = 1.0f - std::pow(kBeta2, static_cast<float>(step));
    parallel_for(rows_count_, 64, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        if (!touched_[static_cast<size_t>(r)]) continue;
        touched_[static_cast<size_t>(r)] = 0;
        for (int64_t i = r * C_; i < (r + 1) * C_; ++i) {
          const auto at = static_cast<size_t>(i);
          first_[at] = kBeta1 * first_[at] + (1 - kBeta1) * gradient_[at];
          second_[at] = kBeta2 * second_[at] + (1 - kBeta2) * gradient_[at] * gradient_[at];
          rows_[i] -= learning_rate * (first_[at] / correct1) / (std::sqrt(second_[at] / correct2) + kAdamEps);
          gradient_[at] = 0;
        }
      }
    });
  }

 private:
  float* row(int64_t token) { return rows_ + token * C_; }

  float* rows_;
  int64_t C_, rows_count_;
  std::vector<float> gradient_, first_, second_, lengths_;
  std::vector<char> touched_;
};

class Tuner {
 public:
  Tuner(const std::filesystem::path& folder, std::span<const RelatedTexts> pairs, const EmbeddingTuneOptions& options)
      : options_(options),
        source_(folder),
        tokenizer_(Tokenizer::load(folder / "tokenizer.json")),
        words_(*tokenizer_),
        config_(without_blocks(ModelConfig::load(folder / "config.json"))),
        parameters_(config_, DType::f32),
        table_(parameters_.value(0), config_.hidden_size) {
    std::vector<double> frequency(static_cast<size_t>(config_.vocab_size), 0.0);
    double total = 0;
    for (const RelatedTexts& pair : pairs) {
      const auto limit = static_cast<size_t>(options_.max_words);
      pairs_.push_back({words_.read(pair.first, limit), words_.read(pair.second, limit), pair.group});
      for (const auto* text : {&pairs_.back().first, &pairs_.back().second})
        for (const uint32_t word : *text)
          for (const TokenId token : words_.tokens(word)) ++frequency[static_cast<size_t>(checked(token))], ++total;
    }
    for (double& count : frequency) count /= std::max(1.0, total);
    load_embedding();
    table_.weigh(frequency);
    // What Engine::embed may put before every text, and in the place of an empty one.
    for (const TokenId token : tokenizer_->opening_tokens(static_cast<TokenId>(config_.bos_token)))
      table_.clear(checked(token));
    table_.clear(config_.bos_token);
  }

  double step(std::span<const uint32_t> chosen, int64_t step, double fraction_left) {
    std::vector<std::vector<TokenId>> bags(2 * chosen.size());
    std::vector<uint64_t> groups(chosen.size());
    for (size_t i = 0; i < chosen.size(); ++i) {
      const Pair& pair = pairs_[chosen[i]];
      const auto draw = static_cast<uint64_t>(step) * chosen.size() + i;
      const bool as_query =
          pair.first == pair.second || random_uniform(options_.seed, kChoiceStream, draw) < options_.query_share;
      bags[i] = tokens_of(as_query ? draw_query(pair.first, draw) : pair.first);
      bags[chosen.size() + i] = tokens_of(pair.second);
      groups[i] = pair.group;
    }
    std::vector<float> embeddings(bags.size() * static_cast<size_t>(config_.hidden_size)), gradients(embeddings.size());
    table_.pool(bags, embeddings);
    const double loss = info_nce(embeddings, groups, options_.temperature, gradients);
    table_.add_gradients(bags, embeddings, gradients);
    table_.step(step, static_cast<float>(static_cast<double>(options_.learning_rate) * fraction_left));
    return loss;
  }

  void save(const std::filesystem::path& target) const {
    write_folder_atomic(target, [&](const std::filesystem::path& hidden) {
      save_model(config_, parameters_, hidden);
      write_file_atomic(hidden / "tokenizer.json", read_file(source_ / "tokenizer.json"));
      SeenIds seen;
      if (std::filesystem::exists(source_ / "seen.bin")) seen.merge(source_ / "seen.bin");
      for (const auto& [post, author] : options_.seen) {
        seen.add("post", post);
        seen.add("author", author);
      }
      seen.save(hidden / "seen.bin");
    });
  }

 private:
  struct Pair {
    std::vector<uint32_t> first, second;
    uint64_t group;
  };

  // Files from elsewhere may name tokens that the table has no row of.
  int64_t checked(int64_t token) const {
    if (token >= 0 && token < config_.vocab_size) return token;
    throw DataError(fmt::format("{}: token {} of config.json or tokenizer.json is outside the vocabulary of {}",
                                source_.string(), token, config_.vocab_size));
  }

  static ModelConfig without_blocks(ModelConfig config) {
    config.num_layers = 0;
    config.rms_norm_eps = kConstantNormEps;
    config.tied_head = true;
    return config;
  }

  void load_embedding() {
    const ModelConfig whole = ModelConfig::load(source_ / "config.json");
    Parameters all(whole, DType::f32);
    load_parameters(all, source_ / "model.safetensors");
    std::memcpy(parameters_.value(0).data(), all.value(0).data(), static_cast<size_t>(all.value(0).bytes()));
    const Tensor norm = parameters_.value(1);
    std::fill(norm.as<float>(), norm.as<float>() + norm.elements(), 1.0f);
  }

  // 2 to query_words different words, drawn with weights that grow with their rarity (Efraimidis & Spirakis 2006: the
  // largest of u^(1/w)).
  std::vector<uint32_t> draw_query(const std::vector<uint32_t>& text, uint64_t draw) const {
    const auto uniform = [&](uint64_t index) { return random_uniform(options_.seed, kDrawStream + draw, index); };
    std::vector<std::pair<double, uint32_t>> keys;
    for (size_t i = 0; i < text.size(); ++i) {
      const double rarity = words_.rarity(text[i]);
      keys.emplace_back(std::log(uniform(i + 1) + 1e-300) / (rarity * rarity), text[i]);
    }
    std::sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    const auto most = 2 + static_cast<size_t>(uniform(0) * static_cast<double>(options_.query_words - 1));
    std::vector<uint32_t> query;
    for (const auto& [key, word] : keys)
      if (query.size() < most && std::find(query.begin(), query.end(), word) == query.end()) query.push_back(word);
    return query;
  }

  std::vector<TokenId> tokens_of(const std::vector<uint32_t>& text) const {
    std::vector<TokenId> out;
    for (const uint32_t word : text) out.insert(out.end(), words_.tokens(word).begin(), words_.tokens(word).end());
    return out;
  }

  const EmbeddingTuneOptions& options_;
  std::filesystem::path source_;
  std::unique_ptr<Tokenizer> tokenizer_;
  Words words_;
  ModelConfig config_;
  Parameters parameters_;
  EmbeddingTable table_;
  std::vector<Pair> pairs_;
};

double mean_of(const std::vector<double>& values, size_t first, size_t count) {
  double sum = 0;
  for (size_t i = first; i < first + count; ++i) sum += values[i];
  return sum / static_cast<double>(count);
}

}  // namespace

EmbeddingTuneResult tune_embeddings(const std::filesystem::path& model_folder,
                                    const std::filesystem::path& output_folder, std::span<const RelatedTexts> pairs,
                                    const EmbeddingTuneOptions& options) {
  if (pairs.size() < 2) throw DataError("tuning embeddings needs at least two pairs of texts; index more posts first");
  Tuner tuner(model_folder, pairs, options);
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
    const double done = std::max(static_cast<double>(losses.size()) / static_cast<double>(total),
                                 (monotonic_s() - start) / options.seconds);
    losses.push_back(tuner.step(std::span(order).subspan(at * batch, batch), static_cast<int64_t>(losses.size()) + 1,
                                std::max(0.0, 1.0 - done)));
    progress.update(losses.size());
  }
  tuner.save(output_folder);
  const size_t tenth = std::max<size_t>(1, losses.size() / 10);
  if (losses.empty()) return {};
  return {static_cast<int64_t>(losses.size()), static_cast<int64_t>(losses.size() * batch), mean_of(losses, 0, tenth),
          mean_of(losses, losses.size() - tenth, tenth)};
}

}  // namespace starling

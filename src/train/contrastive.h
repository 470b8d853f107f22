// Tunes a model so that texts that belong together have near embeddings: InfoNCE with the other pairs of the batch as
// negatives, in both directions.
//   e(text) = mean over the tokens of the final hidden states (after the final norm), divided by its length
//   loss = -1/2 mean_i [ log softmax_j(e(a_i) . e(b_j) / t)_i + log softmax_j(e(b_i) . e(a_j) / t)_i ]
// Sources: van den Oord et al. 2018, arXiv:1807.03748; Gao et al. 2021, arXiv:2104.08821 (temperature).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace starling {

struct EmbeddingTuneOptions {
  double seconds = 120;         // at most
  int64_t epochs = 2;           // over the pairs, at most
  int64_t batch_pairs = 32;     // 31 negatives each way
  int64_t max_tokens = 64;      // of a text; the rest is cut
  float learning_rate = 1e-3f;  // AdamW, falling in a line to 0
  float temperature = 0.05f;
  uint64_t seed = 1;
  std::vector<std::pair<std::string, std::string>> seen;  // post id and author behind the pairs, for seen.bin
};

struct EmbeddingTuneResult {
  int64_t steps = 0, pairs = 0;
  double first_loss = 0, last_loss = 0;  // mean of the first and of the last tenth of the steps
};

// Reads a model folder (config.json, model.safetensors, tokenizer.json) and writes another, atomically. The begin token
// and the text's tokens are embedded, as Engine::embed does. Throws DataError with fewer than two pairs, Error when
// stopped.
EmbeddingTuneResult tune_embeddings(const std::filesystem::path& model_folder,
                                    const std::filesystem::path& output_folder,
                                    std::span<const std::pair<std::string, std::string>> pairs,
                                    const EmbeddingTuneOptions& options = {});

// The loss of n pairs and its gradients. embeddings [2n, C]: a_0..a_{n-1}, b_0..b_{n-1}, of length 1; gradients alike.
double info_nce(std::span<const float> embeddings, int64_t pairs, float temperature, std::span<float> gradients);

}  // namespace starling

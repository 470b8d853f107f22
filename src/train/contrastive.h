// Makes an embedding model out of a language model: the rows of its token embedding, tuned so that texts that belong
// together are near. No block of the model is kept, so that a text costs a look-up a token, in tuning and in search.
//   e(text) = s / |s|,   s = sum over the text's tokens of E[token]
// with the loss of info_nce.h. E starts from the language model's rows, mean removed and scaled by a / (a + p(token)),
// so that frequent tokens weigh little. Often the first of a pair is a few words drawn from its text, rare ones before
// frequent ones, as a query would have them.
// Sources: Arora et al. 2017, "A simple but tough-to-beat baseline for sentence embeddings" (weights, common
// direction); Wu et al. 2017, arXiv:1709.03856 (StarSpace: bags of features); Izacard et al. 2021, arXiv:2112.09118
// (crops of one text as a pair). docs/decisions/0003-* says why no blocks; finetune.h tunes a model with its blocks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace starling {

struct RelatedTexts {
  std::string first, second;
  uint64_t group = 0;  // pairs of one group (a thread, a tag) are not each other's negatives
};

struct EmbeddingTuneOptions {
  double seconds = 60;          // at most
  int64_t epochs = 60;          // over the pairs, at most
  int64_t batch_pairs = 256;    // 255 negatives each way
  int64_t max_words = 128;      // of a text; the rest is cut
  int64_t query_words = 8;      // drawn from a text to make a query: 2 to this many
  double query_share = 0.7;     // of the first texts that are cut to a query
  float learning_rate = 3e-3f;  // Adam, falling in a line to 0
  float temperature = 0.05f;
  uint64_t seed = 1;
  std::vector<std::pair<std::string, std::string>> seen;  // post id and author behind the pairs, for seen.bin
};

struct EmbeddingTuneResult {
  int64_t steps = 0, pairs = 0;
  double first_loss = 0, last_loss = 0;  // mean of the first and of the last tenth of the steps
};

// Reads a model folder (config.json, model.safetensors, tokenizer.json) and writes another, atomically: a Llama without
// blocks, whose norm is a constant (its epsilon is far above the rows' squares), so that Engine::embed gives e(text).
// Throws DataError with fewer than two pairs, Error when stopped.
EmbeddingTuneResult tune_embeddings(const std::filesystem::path& model_folder,
                                    const std::filesystem::path& output_folder, std::span<const RelatedTexts> pairs,
                                    const EmbeddingTuneOptions& options = {});

}  // namespace starling

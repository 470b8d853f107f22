// Bits per byte of samples under a model: every sample is scored from its own start (<|beginofpost|>, tokens,
// <|endofpost|>), the closing token included. Before the first token stands the begin token of config.json, also of a
// model whose tokenizer puts none before a text: such a model has read it between documents. A sample longer than the
// model's positions (or a batch) is scored in windows, each with half a window of context before it.
#pragma once

#include <cstdint>
#include <string>

#include "model/transformer.h"
#include "train/sample_source.h"

namespace starling {

struct SplitScore {
  int64_t samples = 0, tokens = 0, text_bytes = 0;
  double nats = 0;
  double bits_per_byte() const;  // nats / ln 2 / text_bytes
  double nats_per_token() const { return tokens > 0 ? nats / static_cast<double>(tokens) : 0.0; }
};

struct ScoreOptions {
  int64_t batch_tokens = 4096;                 // places of a forward pass, and of the longest window
  std::string progress = "score later posts";  // label of the progress bar; empty: none
  bool ends_with_a_stop = false;               // without an error: the score is of a part then
};

// Masked samples are left out. Throws Error when a stop is requested and is to be one.
SplitScore score_split(Transformer& model, const SampleSource& source, const ScoreOptions& options);

}  // namespace starling

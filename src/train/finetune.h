// Fine-tuning of a whole model or of LoRA adapters: supervised, on answers only, or on whole texts (continued
// pretraining); and on preferences (DPO).
//
//   supervised   loss = mean of -log p over the answers' tokens
//   preference   loss = -log sigmoid(beta ((c - c0) - (r - r0))), mean over pairs; c and r: log p of the chosen and of
//                the rejected answer, c0 and r0 the same under the model before tuning, computed once
// Source of the latter: Rafailov et al. 2023, arXiv:2305.18290.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "model/transformer.h"
#include "tokenizer/tokenizer.h"

namespace starling {

// What the model reads, from the begin token on; the last `answer_tokens` of it are what it is to say.
struct FineTuneExample {
  std::vector<TokenId> tokens;
  int64_t answer_tokens = 0;
};

struct PreferencePair {
  FineTuneExample chosen, rejected;
};

struct FineTuneOptions {
  uint64_t seed = 1;
  int64_t epochs = 2;
  int64_t max_length = 512;     // tokens of an example; one whose answer lies beyond is passed over
  int64_t batch_tokens = 2048;  // places of a step; preference takes as many pairs as fit, at least one
  double learning_rate = 2e-4;  // AdamW; rises over 3 % of the steps, then falls in a line to 0
  double weight_decay = 0.0;
  double clip_norm = 1.0;
  double held_out = 0.05;  // part of the examples that is not trained on but scored before and after
  double beta = 0.1;       // preference: strength of the pull to the model before
};

// Against forgetting what a model could before: examples of a general set are mixed into every epoch, as many as make
// `share` of its places. With share 0 they are scored only. Source: Ibrahim et al. 2024, arXiv:2403.08763, who take 5 %
// where the new text is near the old and 25 % where it is another language.
struct Replay {
  std::span<const FineTuneExample> examples;
  double share = 0.05;  // [0, 1)
};

struct FineTuneResult {
  int64_t steps = 0, examples = 0, held_out = 0, passed_over = 0;
  int64_t trained_parameters = 0;
  double seconds = 0;
  double loss_before = 0, loss_after = 0;            // on what was held out; on the examples when nothing was
  int64_t replay_examples = 0, replay_held_out = 0;  // of the general set: that training may take, that is scored
  double general_before = 0, general_after = 0;      // loss on the latter
  // Preference: share of pairs whose chosen answer gained more than the rejected one.
  double accuracy_after = 0;
};

// Trains the adapters when the model has some, else all parameters. The order of the examples is a function of the
// seed. Throws DataError when no example is left, ConfigError for max_length beyond the model's positions, ShapeError
// when the model has fewer places than places_of(options), Error when a stop is requested.
FineTuneResult finetune(Transformer& model, std::span<const FineTuneExample> examples, const FineTuneOptions& options,
                        const Replay& replay = {});
FineTuneResult finetune(Transformer& model, std::span<const PreferencePair> pairs, const FineTuneOptions& options);

// Places that a model needs for these options: batch_tokens, or one pair of the longest examples.
int64_t places_of(const FineTuneOptions& options);

// Rows of `length` places that examples share, one behind the other and blind to each other, filled in the order given.
// Throws ShapeError for an example that is longer.
Batch pack_examples(std::span<const FineTuneExample* const> examples, int64_t length);

}  // namespace starling

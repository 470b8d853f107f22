// Fine-tuning of a whole model or of LoRA adapters: supervised, on answers only, or on whole texts (continued
// pretraining); on preferences (DPO); and on texts that belong together, for a model that embeds.
//
//   supervised   loss = mean of -log p over the answers' tokens
//   preference   loss = -log sigmoid(beta ((c - c0) - (r - r0))), mean over pairs; c and r: log p of the chosen and of
//                the rejected answer, c0 and r0 the same under the model before tuning, computed once
//   contrastive  loss of info_nce.h over the pairs of a step; e(text) = s / |s|, s = sum of the model's hidden states
//                after the final norm over the text's places, which is what Engine::embed gives
// Sources: Rafailov et al. 2023, arXiv:2305.18290 (preference); BehnamGhader et al. 2024, arXiv:2404.05961 (mean
// pooling of a decoder's states, adapters tuned by pairs).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "model/transformer.h"
#include "train/example_batch.h"

namespace starling {

struct PreferencePair {
  FineTuneExample chosen, rejected;
};

// Two texts that belong together, as examples without an answer; pairs of one group are not each other's negatives.
struct TextPair {
  FineTuneExample anchor, positive;
  uint64_t group = 0;
};

// Where a tuning that is stopped or killed leaves what it has learned, and goes on from (finetune_checkpoint.h).
struct FineTuneCheckpoint {
  std::filesystem::path folder;  // empty: nothing is kept
  bool resume = false;           // go on from the folder; from the start when there is none
  std::string base;              // names what the records and options do not: the model and the objective
  double interval_s = 600;       // between two; a stop makes one at once
  std::function<void(const std::filesystem::path& folder)> add_lineage;  // seen.bin
};

struct FineTuneOptions {
  uint64_t seed = 1;
  int64_t epochs = 2;
  int64_t max_length = 512;     // tokens of an example; one whose answer lies beyond is passed over
  int64_t batch_tokens = 2048;  // places of a step; of pairs as many as fit, at least one
  double learning_rate = 2e-4;  // AdamW; rises over 3 % of the steps, then falls in a line to 0
  double weight_decay = 0.0;
  double clip_norm = 1.0;
  double held_out = 0.05;     // part of the examples that is not trained on but scored before and after
  double beta = 0.1;          // preference: strength of the pull to the model before
  float temperature = 0.05f;  // contrastive
  FineTuneCheckpoint checkpoint;
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
  // Share of what was scored: preference, of pairs whose chosen answer gained more than the rejected one; contrastive,
  // of anchors whose own partner is the nearest of a batch that holds two groups at least.
  double accuracy_before = 0, accuracy_after = 0;
};

// Trains the adapters when the model has some, else all parameters. The order of the examples is a function of the
// seed. Throws DataError when no example is left, ConfigError for max_length beyond the model's positions, ShapeError
// when the model has fewer places than places_of(options), Error when a stop is requested or the loss is no number. A
// tuning that goes on from options.checkpoint ends with the bits of one that was not interrupted.
FineTuneResult finetune(Transformer& model, std::span<const FineTuneExample> examples, const FineTuneOptions& options,
                        const Replay& replay = {});
FineTuneResult finetune(Transformer& model, std::span<const PreferencePair> pairs, const FineTuneOptions& options);
FineTuneResult finetune(Transformer& model, std::span<const TextPair> pairs, const FineTuneOptions& options);

// Places that a model needs for these options: batch_tokens, or one pair of the longest examples.
int64_t places_of(const FineTuneOptions& options);

}  // namespace starling

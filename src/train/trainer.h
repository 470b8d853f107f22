// Trains the platform's own model: shards -> runs/<name>/ -> models/<name>/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "core/config.h"
#include "core/workspace.h"

namespace starling {

struct TrainRequest {
  std::string name = "own";
  bool resume = false;  // go on from the last checkpoint; from the start when there is none
};

struct TrainResult {
  std::string name;
  int rank = 0, ranks = 1;  // ranks other than 0 know neither the loss of the log nor the validation
  int64_t parameters = 0, steps = 0, total_steps = 0, tokens = 0, epochs_begun = 0;
  int64_t counted_samples = 0;          // whose bigrams embedding and head began as; 0: they began random
  double loss = 0;                      // nats a token at the last logged step
  int64_t validation_samples = 0;       // scored at the end, of the validation split
  double validation_bits_per_byte = 0;  // of these; 0 when there are none
  double seconds = 0, tokens_per_s = 0, tflops = 0, peak_tflops = 0, fraction_of_peak = 0;
  std::string precision, products;
  int64_t skipped_steps = 0;                 // updates that stood out (train.spike_deviations)
  std::optional<double> noise_scale_tokens;  // stability.h
  bool stopped = false;                      // by request, with a checkpoint; the model folder is not written then
};

// Whether a training of this name has checkpoints to go on from.
bool is_unfinished_run(const Workspace& workspace, const std::string& name);

// The settings of a resumed run are those saved with it. Deletions and opt-outs of control.db are obeyed sample by
// sample. Throws ConfigError when an unfinished run of that name exists and resume is not asked, or a fine-tuning of
// that name was stopped; IoError, DataError.
//
// All ranks of `world` call it alike, and each trains on its rows of every global batch. What is read does not depend
// on their number, and a checkpoint loads at any: the sums of gradients then differ in their rounding only. The same
// seed and number of ranks give the same bits. Throws CommError on ranks that another one left by an error.
TrainResult train(const Workspace& workspace, const Config& config, const TrainRequest& request, Communicator& world);
// The same in the world of train.communicator.
TrainResult train(const Workspace& workspace, const Config& config, const TrainRequest& request);

}  // namespace starling

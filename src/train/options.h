// The settings train.* and model.* of starling.toml.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config.h"
#include "model/config.h"
#include "ops/matmul.h"
#include "tensor/tensor.h"
#include "train/schedule.h"

namespace starling {

struct TrainOptions {
  uint64_t seed = 1;
  std::string start = "bigrams";  // "bigrams" (bigram_start.h; random when the head is tied) or "random"
  int64_t steps = 0;              // 0: what `minutes` allows
  double minutes = 5;
  int64_t sequence_length = 512;      // T
  int64_t batch_tokens = 2048;        // tokens of an optimizer step
  int64_t micro_batch_tokens = 2048;  // tokens of one forward and backward; smaller needs less memory
  int64_t newest_samples = 0;         // 0: all
  std::string optimizer = "muon";     // "muon" or "adamw"
  float learning_rate = 0.004f;       // of matrices
  float embedding_learning_rate = 0.02f;
  std::string schedule = "linear";  // "linear", "wsd" or "cosine", see schedule.h
  int64_t warmup_steps = 20;
  double decay_fraction = 0.8;  // last part of the steps, in which the rate falls
  double final_factor = 0;      // of the peak rate, at the end
  float weight_decay = 0.1f;
  float clip_norm = 1.0f;
  float z_loss = 0.0f;             // weight of the squared log-normaliser
  double spike_deviations = 6;     // an update so far above the mean is skipped; 0: only what is not finite
  bool recompute = false;          // keep only the blocks' inputs and make the rest again for backward
  std::string precision = "auto";  // "auto", "bf16", "f32"
  std::string products = "auto";   // "auto", "onednn", "amx": of the bf16 products on the CPU, see products.h
  Device device = Device::cpu;
  int64_t log_interval = 10;                  // steps
  int64_t evaluation_interval = 200;          // steps; 0: at the end only
  int64_t evaluation_samples = 300;           // of the validation split while training
  int64_t final_evaluation_samples = 10'000;  // of it at the end; 0: all
  int64_t checkpoint_interval = 200;          // steps
  int64_t keep_checkpoints = 2;
  std::string communicator = "auto";  // "auto", "self", "mpi": communicator.h

  DType compute() const;                   // what `precision` means on this machine
  ProductKernels product_kernels() const;  // oneDNN's while `products` is not settled
  Schedule learning_rate_schedule() const;
  int64_t accumulation() const { return batch_tokens / micro_batch_tokens; }
  int64_t batch_rows() const { return batch_tokens / sequence_length; }  // sequences of an optimizer step
};

std::vector<ConfigKey> train_config_keys();
TrainOptions train_options(const Config& config);  // throws ConfigError
ModelConfig model_config(const Config& config, int64_t vocab_size, int64_t begin_token, int64_t end_token);

}  // namespace starling
